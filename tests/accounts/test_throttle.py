"""Sign-ups are limited for one address."""

import pytest

from accounts.models import User
from accounts.throttle import SignUps
from base import shared_cache

pytestmark = pytest.mark.django_db
PASSWORD = "a long enough one 7"


def sign_up(client, name, address="203.0.113.5"):
    client.logout()
    data = {"username": name, "password1": PASSWORD, "password2": PASSWORD}
    return client.post("/sign-up/", data, REMOTE_ADDR=address)


def test_one_address_makes_so_many_accounts_an_hour(client, settings, monkeypatch):
    settings.SIGN_UPS_PER_HOUR = 2
    assert [sign_up(client, f"p{n}").status_code for n in range(3)] == [302, 302, 429]
    refused = sign_up(client, "p3")
    assert 3500 < int(refused["Retry-After"]) <= 3600
    assert "Try again in 60 minutes" in refused.content.decode()
    assert User.objects.count() == 2
    assert sign_up(client, "p4", address="203.0.113.6").status_code == 302
    now = shared_cache.time.time()
    monkeypatch.setattr("accounts.throttle.time.time", lambda: now + 3601)
    assert sign_up(client, "p5").status_code == 302


def test_mistakes_in_the_form_cost_nothing(client, settings):
    settings.SIGN_UPS_PER_HOUR = 1
    assert sign_up(client, "not a name!").status_code == 200
    assert sign_up(client, "p1").status_code == 302


def test_without_a_limit_everybody_may(client, settings):
    settings.SIGN_UPS_PER_HOUR = 0
    assert [sign_up(client, f"p{n}").status_code for n in range(3)] == [302, 302, 302]


def test_a_household_of_ipv6_is_one_address():
    assert SignUps("2001:db8:1:2::3").key == SignUps("2001:db8:1:2:ffff::4").key
    assert SignUps("2001:db8:1:2::3").key != SignUps("2001:db8:1:3::3").key
    assert SignUps("").key
