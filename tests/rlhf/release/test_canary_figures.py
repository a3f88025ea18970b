"""Of a canary each person counts once: by the choices and flags of their first hours, where consent holds."""

from datetime import timedelta

import pytest
from django.utils import timezone

from feedback.models import Comparison
from rlhf.release import canary_figures
from tests.rlhf import canaries, feedback_rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def heron(base_policy, settings):
    return canaries.candidate(base_policy, settings.MODELS_DIR)


@pytest.fixture
def running(heron, base_policy):
    canaries.decide(heron, base_policy)
    return canaries.begun(heron)


def test_one_person_who_chooses_all_day_is_one_person(running):
    for hour in range(20):
        canaries.choose(running, "eager", "win", hours=hour)
    canaries.choose(running, "other", "lose", hours=1)
    figures = canary_figures.of(running, timezone.now())
    assert (figures["people"], figures["choices"], figures["win_rate"]) == (2, 21, 0.5)


def test_a_person_s_first_hours_count_and_later_choices_do_not(running):
    canaries.choose(running, "ann", "win", hours=0)
    canaries.choose(running, "ann", "tie", hours=23)
    canaries.choose(running, "ann", "lose", hours=25)
    (one,), waiting = canary_figures.choices(running, timezone.now())
    assert (one.value, one.n, waiting) == (0.75, 2, 0)


def test_whose_hours_are_not_over_waits_unless_the_canary_ends(running):
    canaries.choose(running, "ann", "win", hours=24 * canaries.DAYS_AGO - 1)
    assert canary_figures.choices(running, timezone.now()) == ([], 1)
    running.until = timezone.now()
    (one,), waiting = canary_figures.choices(running, timezone.now())
    assert (one.value, waiting) == (1.0, 0)


def test_people_stand_in_the_order_of_their_first_choices(running):
    canaries.choose(running, "late", "lose", hours=5)
    canaries.choose(running, "early", "win", hours=1)
    canaries.choose(running, "late", "lose", hours=6)
    assert [one.value for one in canary_figures.choices(running, timezone.now())[0]] == [1.0, 0.0]


def test_what_does_not_count_is_left_out(running, heron, base_policy):
    canaries.choose(running, "ann", "win", discounted="identity")
    canaries.choose(running, "ben", "win", withdrawn_at=timezone.now())
    canaries.choose(running, "cat", "win", may_train=False)
    canaries.choose(running, "dan", "win", hours=-1)
    canaries.choose(running, "robot", "win", is_simulated=True)
    canaries.choose(running, "banned", "win")
    banned = feedback_rows.annotator("banned")
    banned.suspended_until = timezone.now() + timedelta(days=1)
    banned.save()
    canaries.choose(running, "eve", "win")
    Comparison.objects.filter(annotator__username="eve").last().pair.left.delete()
    assert canary_figures.choices(running, timezone.now()) == ([], 0)


def test_programs_count_where_programs_alone_taught_it(running):
    canaries.choose(running, "robot", "win", is_simulated=True)
    running.counts_simulated = True
    (one,), _waiting = canary_figures.choices(running, timezone.now())
    assert one.value == 1.0


def test_flags_of_a_person_are_a_difference_of_shares_within_their_hours(running, heron, base_policy):
    canaries.reply(running, "ann", base_policy, hours=-1, flagged_after=0)  # before the candidate's first
    canaries.reply(running, "ann", heron, hours=1, flagged_after=2)
    canaries.reply(running, "ann", heron, hours=2)
    canaries.reply(running, "ann", heron, hours=3, flagged_after=30)  # too late
    canaries.reply(running, "ann", heron, hours=26, flagged_after=0)  # too late
    canaries.reply(running, "ann", base_policy, hours=4, flagged_after=1)
    canaries.reply(running, "ann", base_policy, hours=5)
    canaries.reply(running, "ann", base_policy, hours=5, flagged_after=0, may_train=False)
    (one,) = canary_figures.flags(running, timezone.now())
    assert (one.value, one.n) == (pytest.approx((1 + 1 / 3 - 1 / 2) / 2), 5)


def test_whoever_got_replies_of_one_alone_tells_nothing(running, heron, base_policy):
    canaries.reply(running, "ann", heron, flagged_after=0)
    canaries.reply(running, "ben", base_policy, flagged_after=0)
    assert canary_figures.flags(running, timezone.now()) == []
