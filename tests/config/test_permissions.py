"""The permission table against the routes: none without a row, none for the wrong role, no GET that writes."""

import re

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import NoReverseMatch, get_resolver
from django.utils import timezone

from accounts import keys
from accounts.models import ApiKey, User
from accounts.permissions import TABLE, roles_for
from accounts.roles import ABOVE, GROUPS, Role
from chat.websocket.routing import websocket_urlpatterns
from feedback import seed
from tests.config.routes import address, named, pages

WRITES = re.compile(r'^\s*(INSERT INTO|UPDATE|DELETE FROM)\s+"?(?!django_session)', re.IGNORECASE)
MAY_WRITE_ON_GET: dict[str, str] = {}
"""Routes whose GET writes, each with the reason."""


def test_every_route_has_a_name_and_a_row():
    without = [str(entry.pattern) for name, entry in pages().items() if not roles_for(name)]
    assert without == []


def test_every_websocket_has_a_name_and_a_row():
    assert [str(entry.pattern) for name, entry in named(websocket_urlpatterns) if not roles_for(name)] == []


def test_every_row_has_a_route():
    known = {*pages(), *dict(named(websocket_urlpatterns)), "admin:*"}
    assert sorted(set(TABLE) - known) == []


def test_no_row_is_empty():
    assert [name for name, roles in TABLE.items() if not roles] == []


def test_a_route_that_the_table_does_not_know_is_nobody_s():
    assert roles_for("no_such_route") == frozenset()
    assert roles_for("elsewhere:index") == frozenset()


@pytest.fixture
def as_role(db, client):
    """Signs the client in as somebody of this role, with a key for the API, whose sessions open nothing."""
    seed.load()

    def sign_in(role):
        client.logout()
        client.defaults.pop("HTTP_AUTHORIZATION", None)
        if role is Role.ANONYMOUS:
            return client
        user, is_new = User.objects.get_or_create(username=f"a-{role.value}")
        if is_new and role in GROUPS:
            user.groups.add(Group.objects.get_or_create(name=role.value)[0])
        if role is Role.ADMIN:
            User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
        client.force_login(user)
        key, secret = keys.make(user, "test", scopes=["admin"] if role is Role.ADMIN else ())
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=timezone.now())
        client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {secret}"
        return client

    return sign_in


@pytest.mark.parametrize("role", list(Role))
def test_each_role_enters_what_is_its_own_and_nothing_else(as_role, role):
    client, wrong = as_role(role), []
    for name, entry in pages().items():
        response = client.get(address(name, entry))
        is_refused = response.status_code in (401, 403) or response.headers.get("Location", "").startswith(
            "/sign-in/?next="
        )
        if is_refused == bool(ABOVE[role] & roles_for(name)):
            wrong.append((name, response.status_code))
        if is_refused and role is not Role.ANONYMOUS and response.status_code != 403:
            wrong.append((name, response.status_code, "not 403"))
    assert wrong == []


@pytest.mark.parametrize("role", list(Role))
def test_a_post_of_the_wrong_role_is_refused_and_changes_nothing(as_role, role):
    client = as_role(role)
    for name, entry in pages().items():
        if ABOVE[role] & roles_for(name):
            continue
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert client.post(address(name, entry)).status_code in (302, 401, 403), name
        assert [query["sql"] for query in queries if WRITES.match(query["sql"])] == [], name


@pytest.mark.parametrize("role", list(Role))
def test_a_get_never_writes(as_role, role):
    client, wrote = as_role(role), []
    for name, entry in pages().items():
        with CaptureQueriesContext(connection) as queries:
            client.get(address(name, entry))
        if name not in MAY_WRITE_ON_GET:
            wrote += [(name, query["sql"]) for query in queries if WRITES.match(query["sql"])]
    assert wrote == []


def admin_lists():
    for name, entry in named(get_resolver().url_patterns):
        if name.startswith("admin:") and name.endswith(("_changelist", ":index")):
            try:
                yield address(name, entry)
            except NoReverseMatch:
                continue


def test_the_admin_s_lists_open_for_admins_alone(as_role):
    for role in Role:
        client = as_role(role)
        found = {client.get(where).status_code for where in admin_lists()}
        assert found == {Role.ADMIN: {200}, Role.ANONYMOUS: {302}}.get(role, {403}), role


def test_an_address_that_does_not_exist_is_404_for_everybody(as_role):
    for role in Role:
        assert as_role(role).get("/no/such/page/").status_code == 404
