"""Whether people judged enough that a judge can be trained and measured: asked before training takes its hours."""

from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from django.db.models import Q, QuerySet

from feedback import trainable
from feedback.judgements.rankings import pairs
from feedback.models import Comparison, Prompt, Ranking, SimulatedAnnotator
from rlhf.errors import JudgeNotQualified

STRICT = (Comparison.Choice.LEFT, Comparison.Choice.RIGHT)
"""Choices in the chat that say which reply is better."""


@dataclass(frozen=True)
class JudgeMaterial:
    """Of judgements on held-out prompts by people of this site: imported ones qualify no judge, as nobody here knows
    who made them. Ties are none, and a ranking of four has up to six comparisons."""

    comparisons: int
    people: int
    simulated: int
    """Simulated annotators among the people."""
    comparisons_needed: int
    people_needed: int

    @property
    def is_enough(self) -> bool:
        return self.comparisons >= self.comparisons_needed and self.people >= self.people_needed

    @property
    def shortage(self) -> JudgeNotQualified:
        return JudgeNotQualified(self.comparisons, self.comparisons_needed, self.people, self.people_needed)


def count() -> JudgeMaterial:
    """What a snapshot would hold now, near-duplicates of what is trained on included."""
    held_out = Prompt.Split.HELD_OUT
    ranked = trainable.rankings().filter(task__prompt__split=held_out, imported=None)
    chosen = trainable.comparisons().filter(split=held_out, choice__in=STRICT)
    people: dict[int, bool] = {}
    comparisons = 0
    for ranks, person, is_simulated in ranked.values_list("ranks", "annotator", "is_simulated"):
        found = len(pairs(ranks))
        comparisons += found
        if found:
            people[person] = is_simulated
    for person, is_simulated in chosen.values_list("annotator", "is_simulated"):
        comparisons += 1
        people[person] = is_simulated
    needed = [int(settings.GATE[name]) for name in ("judge_comparisons_min", "judge_people_min")]
    return JudgeMaterial(comparisons, len(people), sum(people.values()), *needed)


def shortage(material: JudgeMaterial) -> JudgeNotQualified | None:
    """None where a judge can be qualified, or where one program made every judgement and judges by itself."""
    return None if material.is_enough or gold_now() is not None else material.shortage


def refuse_shortage(frozen: int | None = None) -> None:
    """Raises JudgeNotQualified. `frozen`: the held-out comparisons of a snapshot, which leaves out what is too near
    to what is trained on."""
    material = count() if frozen is None else replace(count(), comparisons=frozen)
    if (found := shortage(material)) is not None:
        raise found


def gold_now() -> dict[str, Any] | None:
    """The hidden preference that made every judgement which may train now, if one alone did."""
    if trainable.rankings().exclude(imported=None).exists() or trainable.violations().exclude(imported=None).exists():
        return None
    judged = (trainable.rankings(), trainable.comparisons(), trainable.violations())
    if any(rows.filter(is_simulated=False).exists() for rows in judged):
        return None
    return gold_of(trainable.rankings(), trainable.comparisons())


def gold_of(ranked: QuerySet[Ranking], chosen: QuerySet[Comparison]) -> dict[str, Any] | None:
    """The preference and flags of the simulated annotators that made these, if all have the same."""
    annotators = SimulatedAnnotator.objects.filter(
        Q(user__in=ranked.values("annotator")) | Q(user__in=chosen.values("annotator"))
    )
    known = {(one.preference, tuple(sorted(one.flags.items()))) for one in annotators}
    if len(known) != 1:
        return None
    preference, flags = known.pop()
    return {"kind": "gold", "preference": preference, "flags": dict(flags)}
