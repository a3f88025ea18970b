"""Which judgements are votes between policies, which of them count, and with what weight."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from django.core.cache import cache
from django.utils import timezone

from chat.models import Conversation, Policy
from feedback.leaderboard import figures, recording, votes
from feedback.models import Comparison, ComparisonRound, Vote
from tests.feedback.leaderboard.vote_rows import blind, choose
from tests.rlhf import feedback_rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def wren():
    return Policy.objects.create(name="wren", version=11, is_scripted=True)


@pytest.fixture
def heron():
    return Policy.objects.create(name="heron", version=12, is_scripted=True)


def counted(**fields):
    recording.record()
    return votes.read(**{"simulated": False} | fields)


def test_choices_in_the_chat_and_blind_pairs_are_votes(wren, heron):
    ann = feedback_rows.annotator("ann")
    choose(ann, wren, heron, "right")
    choose(ann, heron, wren, "tie")
    choose(ann, heron, wren, "both_bad")
    blind(ann, wren, heron, ranks=(2, 1))
    found = counted()
    names = [Policy.objects.get(pk=pk).name for pk in found.policies]
    sides = [
        (names[left], names[right], score)
        for left, right, score in zip(found.battles.left, found.battles.right, found.battles.score, strict=True)
    ]
    assert sides == [("wren", "heron", 0), ("heron", "wren", 0.5), ("heron", "wren", 0.5), ("wren", "heron", 1)]


def test_a_ranking_of_one_policys_replies_is_no_vote(wren):
    feedback_rows.rank(feedback_rows.annotator("ann"), 1)
    assert len(counted().battles) == 0


def test_two_replies_of_one_policy_are_no_vote(wren):
    choose(feedback_rows.annotator("ann"), wren, wren)
    assert len(counted().battles) == 0


def test_nothing_of_an_open_round_is_told(wren, heron):
    blind(feedback_rows.annotator("ann"), wren, heron, closed=False)
    assert len(counted().battles) == 0
    ComparisonRound.objects.update(closed_at=timezone.now())
    assert len(counted().battles) == 1


def test_a_vote_is_recorded_once(wren, heron):
    choose(feedback_rows.annotator("ann"), wren, heron)
    assert [recording.record(), recording.record()] == [1, 0]
    assert Vote.objects.count() == 1


def test_more_votes_than_at_once_are_recorded_by_and_by(wren, heron):
    for _ in range(3):
        choose(feedback_rows.annotator("ann"), wren, heron)
    assert [recording.record(2), recording.record(2), recording.record(2)] == [2, 1, 0]


def withdrawn(choice):
    Comparison.objects.update(withdrawn_at=timezone.now())


def consent_withdrawn(choice):
    Conversation.objects.update(may_train=False)


def suspended(choice):
    choice.annotator.suspended_until = timezone.now() + timedelta(days=1)
    choice.annotator.save()


@pytest.mark.parametrize("happens", [withdrawn, consent_withdrawn, suspended])
def test_a_vote_that_was_recorded_counts_only_while_its_judgement_does(wren, heron, happens):
    choice = choose(feedback_rows.annotator("ann"), wren, heron)
    assert len(counted().battles) == 1
    happens(choice)
    assert len(counted().battles) == 0


def test_programs_votes_stand_apart(wren, heron):
    choose(feedback_rows.annotator("ann"), wren, heron)
    for _ in range(2):
        choose(feedback_rows.annotator("program", is_simulated=True), wren, heron)
    assert len(counted().battles) == 1
    assert len(counted(simulated=True).battles) == 2


def test_votes_of_one_language(wren, heron):
    ann = feedback_rows.annotator("ann")
    choose(ann, wren, heron, asks="무지개가 뭐예요?")
    choose(ann, wren, heron)
    assert len(counted(language="ko").battles) == 1
    assert votes.languages(simulated=False) == ["en", "ko"]


def test_one_busy_person_does_not_decide(wren, heron):
    for number in range(60):
        choose(feedback_rows.annotator("busy"), wren, heron, "left")
        choose(feedback_rows.annotator(f"person-{number % 20}"), wren, heron, "right")
    battles = counted().battles
    busy = battles.weight[battles.score == 1].sum()
    assert busy / battles.weight.sum() == pytest.approx(2 / 21, abs=1e-3)
    assert figures.current(simulated=False).groups[0].standings[0].losses == 60


def test_styles_are_measured_left_minus_right(wren, heron):
    choose(feedback_rows.annotator("ann"), wren, heron, texts=("- one\n- two", "- one"))
    recording.record()
    assert Vote.objects.values_list("lists", "bold").get() == (pytest.approx(1 / 3), 0)


def test_how_many_queries_does_not_depend_on_how_many_votes(wren, heron, django_assert_num_queries):
    for number in range(3):
        choose(feedback_rows.annotator(f"ann-{number}"), wren, heron)
    with django_assert_num_queries(3):
        recording.record()
    with django_assert_num_queries(4):
        figures.compute(simulated=False)
    for number in range(9):
        choose(feedback_rows.annotator(f"ann-{number}"), heron, wren)
    with django_assert_num_queries(3):
        recording.record()
    with django_assert_num_queries(4):
        figures.compute(simulated=False)


@pytest.mark.parametrize(("quick_s", "seen"), [(1e9, 2), (-1.0, 1)], ids=["quick", "slow"])
def test_figures_that_take_long_are_kept_and_others_never(wren, heron, monkeypatch, quick_s, seen):
    cache.clear()
    monkeypatch.setattr(figures, "QUICK_S", quick_s)
    monkeypatch.setattr(figures, "REUSED", 1e9)
    for _ in range(2):
        choose(feedback_rows.annotator("ann"), wren, heron)
        recording.record()
        found = figures.current(simulated=False)
    cache.clear()
    assert found.votes == seen


def test_the_course_follows_the_votes_until_each_month(wren, heron):
    ann = feedback_rows.annotator("ann")
    for month, choice in ((1, "left"), (1, "left"), (3, "right"), (3, "right"), (3, "right")):
        row = choose(ann, wren, heron, choice)
        Comparison.objects.filter(pk=row.pk).update(created_at=datetime(2026, month, 5, tzinfo=UTC))
    recording.record()
    found = figures.compute(simulated=False)
    (january, before), (march, after) = found.course
    assert (january, march) == (2026 * 12, 2026 * 12 + 2)
    wren_at = found.policies.index(wren.pk)
    assert before[wren_at] > 1000 > after[wren_at]
    assert np.isclose(after[wren_at], found.groups[0].standings[-1].plain.rating)
