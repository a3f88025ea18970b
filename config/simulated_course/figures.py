"""What a simulated course shows: agreement, known answers, who was found, and what was learnt from it."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import fmean
from typing import Any

from django.db import transaction
from django.utils import timezone

from config.simulated_course import reward
from config.simulated_course.judging import KEY, asked
from config.simulated_course.people import ATTACKING, TASTE, CoursePerson
from feedback.models import AgreementFigure, AnnotatorTrust, Ranking, TrustFinding
from feedback.trust import gold
from feedback.trust.figures import PersonFigures
from rlhf.snapshots import provenance
from rlhf.snapshots.frozen_row import Line
from rlhf.snapshots.rows import Frozen

UNSEEN = 1500
"""Items on which what was learnt is measured."""
LEAST_GAIN_KEPT = 0.9
"""Attackers are to cost less than a tenth of what is learnt."""


def of_course(course: Sequence[CoursePerson], seed: int, replies: int) -> dict[str, Any]:
    """After the assessment. All figures of judgements are of what would train now."""
    frozen = Frozen(timezone.now())
    return {
        "agreement": _agreement(),
        "known_answers": _known_answers(course),
        "qualities": _qualities(course, frozen),
        "found": _found(course),
        "learnt": _learnt(course, frozen, seed, replies),
    }


def _agreement() -> list[dict[str, Any]]:
    rows = AgreementFigure.objects.filter(project__key=KEY).select_related("rule")
    return [
        {
            "about": row.rule.key if row.rule is not None else "order",
            "alpha": _rounded(row.alpha),
            "low": _rounded(row.low),
            "high": _rounded(row.high),
            "units": row.units,
        }
        for row in rows
    ]


def _known_answers(course: Sequence[CoursePerson]) -> dict[str, Any]:
    """By quality: how many passed, and their mean share that is right."""
    accounts = _accounts(course)
    standings = gold.standings([trust.person for trust in accounts.values()])
    passed: dict[str, list[bool]] = defaultdict(list)
    scores: dict[str, list[float]] = defaultdict(list)
    for person in course:
        if person.name in accounts:
            standing = standings[accounts[person.name].person_id]
            passed[person.quality].append(not standing.is_missing and not standing.is_low)
            scores[person.quality].append(standing.score or 0.0)
    return {
        quality: {"people": len(told), "passed": sum(told), "score": round(fmean(scores[quality]), 3)}
        for quality, told in sorted(passed.items())
    }


def _accounts(course: Sequence[CoursePerson]) -> dict[str, AnnotatorTrust]:
    rows = AnnotatorTrust.objects.filter(person__username__in=[person.name for person in course])
    return {row.person.username: row for row in rows.select_related("person")}


def _qualities(course: Sequence[CoursePerson], frozen: Frozen) -> dict[str, Any]:
    """By quality: the accuracy that trust estimates beside the true one, weights, and the share of the snapshot."""
    trust, true = _accounts(course), _true_accuracy()
    mass: Counter[str] = Counter()
    for entry in frozen.ranked:
        mass[entry.row.annotator.username] += entry.line["weight"]
    total = sum(mass.values()) or 1.0
    found: dict[str, Any] = {}
    for quality in sorted({person.quality for person in course}):
        names = [person.name for person in course if person.quality == quality and person.name in trust]
        figures = [PersonFigures.of(trust[name].figures) for name in names]
        found[quality] = {
            "people": len(names),
            "judgements": sum(one.judgements for one in figures),
            "accuracy": _mean(one.accuracy for one in figures),
            "true_accuracy": _mean(true.get(name) for name in names),
            "weight": _mean(trust[name].weight for name in names),
            "share_of_training": round(sum(mass[name] for name in names) / total, 4),
        }
    return found


def _true_accuracy() -> dict[str, float]:
    """By username: the share of their pairs that are ordered as the hidden taste does."""
    right: dict[str, list[bool]] = defaultdict(list)
    rows = Ranking.objects.filter(task__project__key=KEY).select_related("task__prompt", "annotator")
    for row in rows.prefetch_related("task__completions"):
        scores = {reply.pk: TASTE(asked(row.task), reply.text) for reply in row.task.completions.all()}
        ranks = {int(pk): rank for pk, rank in row.ranks.items()}
        for one, other in combinations(ranks, 2):
            if scores[one] != scores[other] and ranks[one] != ranks[other]:
                is_right = (scores[one] > scores[other]) == (ranks[one] < ranks[other])
                right[row.annotator.username].append(is_right)
    return {name: fmean(told) for name, told in right.items()}


def _found(course: Sequence[CoursePerson]) -> dict[str, Any]:
    """By quality: how many weigh nothing, and by which findings; honest people among them are false alarms."""
    weight = {name: row.weight for name, row in _accounts(course).items()}
    kinds: dict[str, set[str]] = defaultdict(set)
    for name, kind in TrustFinding.objects.values_list("person__username", "kind"):
        kinds[name].add(kind)
    found: dict[str, Any] = {}
    for quality in sorted({person.quality for person in course}):
        names = [person.name for person in course if person.quality == quality]
        stopped = [name for name in names if weight.get(name, 1.0) == 0]
        counted = Counter(kind for name in names for kind in kinds[name])
        found[quality] = {
            "people": len(names),
            "weigh_nothing": len(stopped),
            "findings": dict(sorted(counted.items())),
        }
    return found


def _learnt(course: Sequence[CoursePerson], frozen: Frozen, seed: int, replies: int) -> dict[str, Any]:
    """The linear reward model of honest people alone, of all judgements as they are, and of the weighted ones."""
    raw, honest = _raw(), {person.name for person in course if person.quality not in ATTACKING}
    pseudonyms = {
        provenance.pseudonym(row.person) for row in _accounts(course).values() if row.person.username in honest
    }
    arms = {
        "honest": reward.learn((line for line in raw if line["annotator"] in pseudonyms), weighted=False),
        "raw": reward.learn(raw, weighted=False),
        "weighted": reward.learn(frozen.rankings, weighted=True),
    }
    items = reward.unseen(UNSEEN, max(replies, 4), seed)
    found: dict[str, Any] = {
        name: {
            "accuracy": round(reward.accuracy(model, items), 4),
            "reward_of_chosen": round(reward.reward_of_chosen(model, items), 4),
        }
        for name, model in arms.items()
    }
    return {**found, "kept": {name: _kept(found, name) for name in ("raw", "weighted")}}


def _kept(found: Mapping[str, Mapping[str, float]], arm: str) -> dict[str, float]:
    """Share of the gain of honest judgements that remains: of accuracy above chance, and of the reward."""
    best, own = found["honest"], found[arm]
    return {
        "accuracy": round((own["accuracy"] - 0.5) / (best["accuracy"] - 0.5), 4),
        "reward_of_chosen": round(own["reward_of_chosen"] / best["reward_of_chosen"], 4),
    }


def _raw() -> list[Line]:
    """Every ranking that may train, as if nothing were known of anybody."""
    with transaction.atomic():
        AnnotatorTrust.objects.all().delete()
        lines = Frozen(timezone.now()).rankings
        transaction.set_rollback(True)
    return lines


def _mean(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return round(fmean(known), 3) if known else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
