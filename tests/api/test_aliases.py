"""The page on which admins say which model programs get by which name."""

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry
from accounts.roles import Role
from api.models import Alias
from chat.models import Policy
from tests.people import make_person

pytestmark = pytest.mark.django_db


@pytest.fixture
def page():
    client = Client()
    client.force_login(make_person("boss", Role.ADMIN))
    return client


@pytest.fixture
def old(db):
    return Policy.objects.create(name="old", version=7, is_scripted=True)


def test_the_names_of_2023_are_there_from_the_start():
    assert set(Alias.objects.values_list("name", "policy")) >= {("davinci", None), ("gpt-3.5-turbo", None)}


def test_an_alias_is_added_changed_and_removed_with_entries_in_the_audit_log(page, old):
    page.post(reverse("aliases"), {"name": "gpt-9:mini", "policy": ""})
    alias = Alias.objects.get(name="gpt-9:mini")
    assert alias.policy is None
    page.post(reverse("change_alias", args=[alias.pk]), {"policy": old.pk})
    page.post(reverse("change_alias", args=[alias.pk]), {"policy": old.pk})  # the same: no entry
    alias.refresh_from_db()
    assert alias.policy == old
    assert "gpt-9:mini" in page.get(reverse("aliases")).content.decode()
    page.post(reverse("remove_alias", args=[alias.pk]))
    assert not Alias.objects.filter(pk=alias.pk).exists()
    told = list(AuditEntry.objects.order_by("id").values_list("verb", "before", "after"))
    name = "gpt-9:mini"
    assert told == [
        ("alias.add", {}, {"name": name, "policy": None}),
        ("alias.change", {"name": name, "policy": None}, {"name": name, "policy": "old"}),
        ("alias.remove", {"name": name, "policy": "old"}, {}),
    ]


@pytest.mark.parametrize("name", ["", "davinci", "live", "old", "two words", "-x", "x" * 81, "a\0b", "ü"])
def test_a_name_that_cannot_be_is_refused(page, old, name):
    before = Alias.objects.count()
    response = page.post(reverse("aliases"), {"name": name, "policy": ""})
    assert response.status_code == 400
    assert Alias.objects.count() == before
    assert AuditEntry.objects.count() == 0


def test_a_model_that_is_gone_cannot_be_chosen(page, old):
    Policy.objects.filter(pk=old.pk).update(retired_at="2026-01-01T00:00Z")
    assert page.post(reverse("aliases"), {"name": "new", "policy": old.pk}).status_code == 400
    alias = Alias.objects.get(name="davinci")
    assert page.post(reverse("change_alias", args=[alias.pk]), {"policy": old.pk}).status_code == 400
