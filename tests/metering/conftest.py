"""Who uses and who pays: a person, an admin, browsers of theirs, and rows of the ledger."""

import itertools

import pytest
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.test import Client

from accounts.models import User
from metering import ledger
from metering.models import Price, Usage


@pytest.fixture(autouse=True)
def _fresh():
    cache.clear()


@pytest.fixture
def sora(db):
    return User.objects.create_user("sora", password="a long enough password")


@pytest.fixture
def boss(db):
    boss = User.objects.create_user("boss", password="a long enough password")
    boss.groups.add(Group.objects.get_or_create(name="admin")[0])
    return boss


@pytest.fixture
def browser_of():
    def make(person):
        client = Client(headers={"accept-language": "en"})
        client.force_login(person)
        return client

    return make


@pytest.fixture
def priced(db):
    """One model with a price that no float holds exactly; nothing else costs anything."""
    Price.objects.all().delete()
    return Price.objects.create(model="sparrow", training=400, prompt=1_600, completion=2_100)


@pytest.fixture
def use(db):
    """use(person, prompt_tokens=3) writes a row of the ledger."""
    refs = (f"reply:{number}" for number in itertools.count())

    def write(person, *, names=("sparrow",), kind=Usage.Kind.API, ref="", **fields):
        ref = ref or next(refs)
        ledger.record(ref, user=person.pk, kind=kind, names=list(names), **fields)
        return Usage.objects.get(ref=ref)

    return write
