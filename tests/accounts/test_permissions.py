"""Who may open what of the accounts' pages, and the token that every form needs."""

import pytest
from django.test import Client

from accounts.roles import Role

ROLES = (Role.CHATTER, Role.ANNOTATOR, Role.MODERATOR, Role.ADMIN)


@pytest.mark.django_db
@pytest.mark.parametrize("role", ROLES)
def test_the_audit_log_is_for_moderators_and_admins(role, person, browser_of):
    expected = 200 if role in (Role.MODERATOR, Role.ADMIN) else 403
    assert browser_of(person("sora", role)).get("/audit-log/").status_code == expected


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/audit-log/", "/password/", "/admin/"])
def test_strangers_are_led_to_sign_in(client, address):
    response = client.get(address)
    assert response.status_code == 302
    assert response["Location"] == f"/sign-in/?next={address}"


@pytest.mark.django_db
def test_the_admin_site_is_for_admins(person, browser_of):
    assert browser_of(person("mod", Role.MODERATOR, is_staff=True)).get("/admin/").status_code == 403
    boss = person("boss", Role.ADMIN, is_staff=True, is_superuser=True)
    assert browser_of(boss).get("/admin/accounts/user/").status_code == 200


@pytest.mark.django_db
def test_unsafe_requests_need_a_token(person):
    client = Client(enforce_csrf_checks=True)
    client.force_login(person("sora"))
    for address in ("/sign-in/", "/sign-up/", "/sign-out/", "/language/", "/password/", "/conversations/new/"):
        response = client.post(address)
        assert response.status_code == 403, address
        assert "has expired" in response.content.decode()
