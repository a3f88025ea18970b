"""What is needed most comes first: rules with few labels, policies whose order is uncertain; the lot stays a lot."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.roles import Role
from chat.models import Policy
from feedback.leaderboard import figures
from feedback.leaderboard.standings import ComparedGroup, RatedPolicy, RatingEstimate
from feedback.models import Prompt, RankingTask, Rule, Violation
from feedback.projects import need, offers
from tests.feedback.ranking_tasks import make_task, take_task

KEYS = st.integers(1, 5)


def group(*intervals):
    rows = [
        RatedPolicy(n, RatingEstimate((low + high) / 2, low, high, 1), None, 1, 1, 0, 0)
        for n, (low, high) in enumerate(intervals)
    ]
    return ComparedGroup(rows, [])


def test_a_policy_is_uncertain_as_far_as_its_interval_is_wide_and_not_by_itself():
    assert need.uncertainty(group((900, 1100), (1050, 1150), (1400, 1450))) == {0: 0.5, 1: 0.25, 2: 0}
    assert need.uncertainty(group((0, 2000), (900, 1000))) == {0: 1, 1: 0.25}


@given(
    st.lists(KEYS | st.none(), max_size=2),
    KEYS | st.none(),
    st.dictionaries(KEYS, st.integers(0, 1000)),
    st.dictionaries(KEYS, st.floats(0, 1)),
)
def test_need_is_a_share_that_more_labels_never_raise(rules, policy, labels, policies):
    found = need.need(rules, policy, labels, policies)
    assert 0 <= found <= 1
    assert need.need(rules, policy, {rule: n + 1 for rule, n in labels.items()}, policies) <= found


def test_of_two_reasons_the_stronger_one_counts():
    assert need.need([1, None], 2, {1: need.ENOUGH_LABELS // 2}, {2: 0.3}) == 0.5
    assert need.need([1, None], 2, {1: need.ENOUGH_LABELS}, {2: 0.3}) == 0.3


@pytest.mark.django_db
def test_tasks_of_rules_with_few_labels_come_first_until_they_have_them(
    policy, annotator, seeds, monkeypatch, django_assert_max_num_queries
):
    monkeypatch.setattr(offers, "SHARE_BY_LOT", 0)
    plain, about = make_task(policy), make_task(policy, "Insult me.")
    rule = Rule.objects.get(key="no-insults")
    Prompt.objects.filter(tasks=about).update(elicits=rule)
    with django_assert_max_num_queries(12):
        assert need.update() == 1
    assert need.update() == 0
    assert take_task(annotator) == about
    for number in range(3):
        make_task(policy, f"Something else {number}?")
    monkeypatch.setattr(need, "ENOUGH_LABELS", 1)
    Violation.objects.create(
        rule_version=rule.versions.first(), completion=about.completions.first(), annotator=annotator
    )
    need.update()
    assert set(RankingTask.objects.values_list("need", flat=True)) == {0.0}
    assert plain.need == 0


@pytest.mark.django_db
def test_tasks_of_policies_whose_order_is_uncertain_come_first_and_the_lot_does_not_care(
    policy, annotator, person, monkeypatch
):
    monkeypatch.setattr(offers, "SHARE_BY_LOT", 0)
    other = Policy.objects.create(name="other", version=2, is_scripted=True)
    first, uncertain = make_task(policy), make_task(other, "Why is it so?")
    made = figures.compute(simulated=False)
    told = figures.LeaderboardFigures(
        [policy.pk, other.pk], [group((0, 10), (5, 500))], made.wins, made.counts, [], 0, 0, []
    )
    monkeypatch.setattr(figures, "current", lambda **_which: told)
    need.update()
    assert take_task(annotator) == uncertain
    monkeypatch.setattr(offers, "SHARE_BY_LOT", 1)
    RankingTask.objects.filter(pk=first.pk).update(lot=0.1)
    RankingTask.objects.filter(pk=uncertain.pk).update(lot=0.2, overlap=2, state="open")
    assert take_task(person("bob", Role.ANNOTATOR)) == first
