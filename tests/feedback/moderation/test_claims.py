"""A claim is one moderator's for its time, whoever else opens the item meanwhile."""

from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import User
from accounts.roles import Role
from feedback.models import Claim, Report
from feedback.moderation import claims
from feedback.moderation.items import key_of
from tests.feedback.conversation_rows import talk

STEPS = st.lists(st.tuples(st.sampled_from(["anna", "ben", "chi"]), st.integers(0, 700)), max_size=12)
"""(who opens the item, seconds after the step before)"""


@pytest.fixture
def desk(person):
    return {name: person(name, Role.MODERATOR) for name in ("anna", "ben", "chi")}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_who_opens_a_free_item_has_it_for_its_time_and_nobody_else(reply, desk, steps):
    """Against a model in two variables."""
    Claim.objects.all().delete()
    key, now, holder, until = key_of(reply), timezone.now(), None, None
    for name, seconds in steps:
        now += timedelta(seconds=seconds)
        if until is not None and until <= now:
            holder = None
        other = claims.take(key, desk[name], now=now)
        if holder in (None, name):
            holder, until = name, now + claims.KEPT_FOR
            assert other is None
        else:
            assert (other.moderator.username, other.until) == (holder, until)
        assert Claim.objects.count() == 1
        for each in desk:
            assert (key in claims.held_by_others(desk[each], now=now)) == (each != holder)


def test_the_next_item_is_one_that_nobody_else_has(reply, carl, desk, policy, signed_in):
    second = talk(carl, "Hm", "Hm hm.", policy=policy)[1]
    Report.objects.create(reporter=carl, message=second)
    anna, ben = signed_in(desk["anna"]), signed_in(desk["ben"])
    first = anna.get("/moderation/next/")["Location"]
    assert first == f"/moderation/message/{reply.pk}/"
    anna.get(first)
    assert ben.get("/moderation/next/")["Location"] == f"/moderation/message/{second.pk}/"
    assert "anna has this item open" in ben.get(first).text
    assert "anna is reviewing it" in ben.get("/moderation/").text
    assert "is reviewing it" not in anna.get("/moderation/").text
    ben.get(f"/moderation/message/{second.pk}/")
    chi = signed_in(desk["chi"])
    assert chi.get("/moderation/next/")["Location"] == "/moderation/"


def test_a_decision_gives_the_claim_back(reply, desk, signed_in):
    anna = signed_in(desk["anna"])
    anna.get(f"/moderation/message/{reply.pk}/")
    anna.post(f"/moderation/message/{reply.pk}/dismiss/", {"quick": "1"})
    assert not Claim.objects.exists()
    assert User.objects.filter(username="anna").exists()
