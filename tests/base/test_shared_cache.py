"""Limits go on counting, in the process, while Redis is away."""

import pytest
from django.core.cache import cache
from redis.exceptions import ConnectionError as RedisAway

from base import shared_cache

pytestmark = pytest.mark.django_db


PASSWORD = "a long enough one 7"


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    cache.clear()
    shared_cache._local.clear()
    monkeypatch.setattr(shared_cache, "_away_until", 0.0)


class Away:
    """A Redis that does not answer."""

    asked = 0

    def __getattr__(self, name):
        type(self).asked += 1
        raise RedisAway("no route")


@pytest.fixture
def redis_is_away(monkeypatch):
    Away.asked = 0
    monkeypatch.setattr(shared_cache, "cache", Away())


def sign_up(client, name, address="203.0.113.5"):
    client.logout()
    data = {"username": name, "password1": PASSWORD, "password2": PASSWORD}
    return client.post("/sign-up/", data, REMOTE_ADDR=address)


def test_limits_hold_while_redis_is_away(client, settings, redis_is_away):
    settings.SIGN_UPS_PER_HOUR = 1
    assert [sign_up(client, f"p{n}").status_code for n in range(2)] == [302, 429]
    assert [shared_cache.count("key", 60)[0] for _ in range(3)] == [1, 2, 3]
    assert Away.asked == 1, "it is left alone for a while"


def test_redis_counts_again_when_it_is_back(monkeypatch, redis_is_away):
    shared_cache.count("key", 60)
    monkeypatch.setattr(shared_cache, "cache", cache)
    monkeypatch.setattr(shared_cache, "_away_until", 0.0)
    assert shared_cache.count("key", 60)[0] == 1
    assert shared_cache.count("key", 60)[0] == 2


def test_a_bug_is_no_reason_to_count_elsewhere():
    with pytest.raises(ZeroDivisionError):
        shared_cache.in_cache(lambda kept: 1 // 0)
