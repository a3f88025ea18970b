"""People of each role, each with a browser of their own."""

import pytest
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.test import Client

from accounts.models import User
from accounts.roles import GROUPS, Role

PASSWORD = "a long enough password"


@pytest.fixture(autouse=True)
def empty_cache():
    cache.clear()


@pytest.fixture
def person(db):
    """Makes a person: `person("name", Role.MODERATOR)`."""

    def make(name, role=Role.CHATTER, **fields):
        user = User.objects.create_user(name, password=PASSWORD, **fields)
        if role in GROUPS:
            user.groups.add(Group.objects.get_or_create(name=role.value)[0])
        return user

    return make


@pytest.fixture
def browser_of():
    """A client that is signed in as a user."""

    def make(user=None, **headers):
        client = Client(headers=headers)
        if user:
            client.force_login(user)
        return client

    return make
