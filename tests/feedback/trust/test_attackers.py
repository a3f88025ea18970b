"""Attackers among honest people are found, weigh nothing until somebody looks, and cost a model little."""

import numpy as np
import pytest

from feedback.models import AnnotatorTrust, Ranking, TrustFinding
from feedback.trust import assessment, habits, weighing
from feedback.trust.habits import Flagging, JudgedRanking
from feedback.trust.statistics import copying, dawid_skene
from tests.feedback.trust import simulated_people as sim

SEEDS = range(10)


def accuracy_of(of):
    return dawid_skene.fit(of.item, of.person, of.answer, one_coin=True).accuracy


def test_four_random_clickers_among_twenty_honest_people_are_found_within_sixty_labels():
    """In at least 95 % of groups all four: one clicker in a hundred is right on two thirds of sixty by luck."""
    groups = [accuracy_of(sim.world(seed, sim.random_answers)) < weighing.ACCURACY_FLOOR for seed in range(40)]
    assert sum(found[sim.HONEST :].all() for found in groups) >= 38
    assert max(found[: sim.HONEST].sum() for found in groups) <= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_four_colluding_people_of_twenty_four_are_found_and_nobody_else(seed):
    of = sim.world(seed, sim.one_script(0.5))
    groups = copying.groups(of.item, of.person, of.answer, np.ones(len(of.item)), accuracy_of(of))
    assert [group.people for group in groups] == [(20, 21, 22, 23)]
    assert groups[0].agreement == 1
    assert groups[0].expected < 0.9


@pytest.mark.parametrize("seed", SEEDS)
def test_nobody_colludes_where_all_answer_alone(seed):
    """Easy questions, too: people who are nearly always right agree nearly always."""
    for right in (0.85, 0.97):
        rng = np.random.default_rng(seed)
        item, person = sim.overlapping(rng, 24, 5)
        truth = rng.random(item.max() + 1) < 0.5
        answer = np.where(rng.random(len(item)) < right, truth[item], ~truth[item])
        accuracy = dawid_skene.fit(item, person, answer, one_coin=True).accuracy
        assert copying.groups(item, person, answer, np.ones(len(item)), accuracy) == []


def judged(rng, choose, seconds=20.0, replies=4):
    """Sixty rankings as the page showed them; `choose`: (lengths) -> the place of the best."""
    rows = []
    for task in range(sim.LABELS):
        lengths = [int(length) for length in rng.integers(50, 900, replies)]
        best = choose(lengths)
        ranks = [1 if place == best else 2 + (place > best) for place in range(replies)]
        rows.append(JudgedRanking(task, ranks, lengths, seconds, True, 200.0 + sum(lengths)))
    return rows


def kinds(rows, usual=None):
    return [finding.kind for finding in habits.of_rankings(rows, usual or {})]


@pytest.mark.parametrize("seed", SEEDS)
def test_always_left_always_longest_and_too_fast_are_found_and_honest_people_are_not(seed):
    rng = np.random.default_rng(seed)
    honest = judged(rng, lambda lengths: int(rng.integers(len(lengths))), seconds=45.0)
    assert kinds(honest) == []
    assert kinds(judged(rng, lambda lengths: 0, seconds=45.0)) == ["position"]
    assert kinds(judged(rng, lambda lengths: lengths.index(max(lengths)), seconds=45.0)) == ["length"]
    hasty = judged(rng, lambda lengths: int(rng.integers(len(lengths))), seconds=2.5)
    assert kinds(hasty) == ["seconds", "speed"]


def test_who_prefers_the_longest_as_everybody_does_is_not_found():
    rows = judged(np.random.default_rng(0), lambda lengths: lengths.index(max(lengths)), seconds=45.0)
    assert kinds(rows, {task: 0.8 for task in range(sim.LABELS)}) == []
    assert kinds(rows, {task: 0.5 for task in range(sim.LABELS)}) == ["length"]


def test_a_threshold_is_passed_above_it_and_not_at_it():
    def left(times, of=40):
        return [JudgedRanking(n, [1, 2] if n < times else [2, 1], [5, 5], 0, True, 0) for n in range(of)]

    assert habits.position(left(32)) is None
    assert habits.position(left(33)).figure == 33 / 40
    assert habits.position(left(29, of=29)) is None


def test_who_flags_everything_is_found_unless_others_do_so_too():
    everything = Flagging(flagged=60, asked=60, rules=2, shared=60, flagged_shared=1.0, flagged_by_others=0.1)
    assert habits.flagging(everything).kind == "flagging"
    agreed = Flagging(flagged=60, asked=60, rules=2, shared=60, flagged_shared=1.0, flagged_by_others=0.9)
    assert habits.flagging(agreed) is None
    alone = Flagging(flagged=60, asked=60, rules=1, shared=0, flagged_shared=0.0, flagged_by_others=0.0)
    assert habits.flagging(alone) is None


NAMES = [f"honest-{n}" for n in range(20)] + [f"attacker-{n}" for n in range(4)]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("attack", "kind"), [(sim.random_answers, "accuracy"), (sim.one_script(0.5), "copying")], ids=["random", "copies"]
)
def test_their_judgements_weigh_nothing_until_a_moderator_has_looked(attack, kind):
    people = sim.store(sim.world(3, attack), NAMES)
    assessment.assess()
    found = set(TrustFinding.objects.filter(kind=kind).values_list("person__username", flat=True))
    assert {name for name in NAMES if name.startswith("attacker")} <= found
    assert len(found) <= 5
    weights = dict(AnnotatorTrust.objects.values_list("person", "weight"))
    assert {weights[person.pk] for person in people[20:]} == {0.0}
    assert sum(weights[person.pk] for person in people[:20]) >= 19
    assert Ranking.objects.filter(withdrawn_at=None).count() == len(NAMES) * sim.LABELS


@pytest.mark.parametrize("attack", [sim.random_answers, sim.one_script(0.0)], ids=["random", "opposite"])
def test_a_linear_reward_model_of_weighted_judgements_loses_less_than_a_tenth_of_its_gain(attack):
    """Gain: accuracy on held-out pairs above chance, of a logistic regression on features of the replies; a third of
    the people attack, which costs the model of raw judgements more than that of weighted ones."""
    losses = {"raw": [], "weighted": []}
    for seed in range(3):
        rng = np.random.default_rng(seed)
        taste = rng.normal(size=20)
        clean = sim.world(seed, lambda rng, truth, items: truth[items], attackers=8)
        of = sim.world(seed, attack, attackers=8)
        features = rng.normal(size=(len(of.truth), 20))
        features *= np.where((features @ taste > 0) == of.truth, 1, -1)[:, None]
        accuracy = accuracy_of(of)
        trust = np.where(accuracy < weighing.ACCURACY_FLOOR, 0.0, 1.0)
        best = gain(features, clean, np.ones(len(clean.item)), taste)
        losses["raw"].append(1 - gain(features, of, np.ones(len(of.item)), taste) / best)
        losses["weighted"].append(1 - gain(features, of, trust[of.person], taste) / best)
    assert np.mean(losses["weighted"]) < 0.1
    assert np.mean(losses["weighted"]) < np.mean(losses["raw"])


def gain(features, of, weight, taste):
    """Of the model that weighted judgements give: share of new pairs in the right order, above one half."""
    rows, signs = features[of.item], np.where(of.answer, 1.0, -1.0)
    model = np.zeros(features.shape[1])
    for _ in range(300):
        push = weight * signs / (1 + np.exp(signs * (rows @ model)))
        model += 0.5 * (push @ rows / weight.sum() - 0.01 * model)
    new = np.random.default_rng(99).normal(size=(4000, len(taste)))
    return ((new @ model > 0) == (new @ taste > 0)).mean() - 0.5
