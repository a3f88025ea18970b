"""What an annotator entered for a task: checked as a whole, and stored as a ranking with its answers about rules."""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from feedback.errors import BadFlags
from feedback.judgements import rankings, strength
from feedback.models import Ranking, RuleVersion, Violation

Flag = tuple[int, int]
"""(completion id, rule version id)"""


@dataclass(frozen=True)
class Judgement:
    """An annotator's input for a task, as given."""

    places: Iterable[tuple[object, object]]
    """(completion id, place)."""
    flags: Iterable[Flag] = ()
    """Of each violation seen."""
    asked: Iterable[int] = field(default_factory=tuple)
    """Rule versions that the page asked about for each reply: no flag and no grade means that the annotator saw no
    violation."""
    comment: str = ""
    grades: Mapping[Flag, int] = field(default_factory=dict)
    """How sure the annotator is, by Violation.Grade."""
    strength: Mapping[int, object] = field(default_factory=dict)
    """By place: how much better its replies are than those of the next."""
    overall: str = ""
    """Ranking.Overall, or nothing."""
    unfolded: Collection[int] | None = None
    """Completions that stood whole; None where nothing was folded."""
    active_seconds: float | None = None
    """As the page counted."""
    refusal: str = ""
    """Ranking.Refusal, of a task of one reply; else nothing."""


@dataclass(frozen=True)
class Checked:
    """A judgement that fits its task."""

    completions: list[int]
    ranks: dict[str, int]
    strength: list[int]
    overall: str
    answers: dict[Flag, tuple[bool, int | None]]
    """(completion, rule version) -> whether it is a violation, and the grade."""
    unfolded: list[int] | None
    comment: str
    refusal: str

    @property
    def flagged(self) -> set[Flag]:
        return {flag for flag, (violates, _grade) in self.answers.items() if violates}


def check(judgement: Judgement, completions: list[int]) -> Checked:
    """Raises BadRanking, BadFlags."""
    overall = judgement.overall if judgement.overall in Ranking.Overall.values else ""
    given = list(judgement.places)
    if overall and not given:  # an order is not asked of who finds all alike
        given = [(completion, 1) for completion in completions]
    ranks = rankings.validated(given, completions)
    places = {rankings.parse_integer(completion): rankings.parse_integer(place) for completion, place in given}
    seen = None if judgement.unfolded is None else sorted(set(judgement.unfolded) & set(completions))
    return Checked(
        completions=completions,
        ranks=ranks,
        strength=strength.validated(judgement.strength, places),
        overall=overall,
        answers=_answers(judgement, completions),
        unfolded=seen,
        comment=judgement.comment,
        refusal=judgement.refusal if judgement.refusal in Ranking.Refusal.values else "",
    )


def _answers(judgement: Judgement, completions: list[int]) -> dict[Flag, tuple[bool, int | None]]:
    """For each reply and rule: the grade where one was given; else true where flagged, and false where the annotator
    considered the rule, since they flagged another reply by it or were asked about it, and did not flag this reply.
    Of a rule that was graded for some replies, nothing for the others. Raises BadFlags.
    """
    flags, grades = set(judgement.flags), dict(judgement.grades)
    graded = {version for _completion, version in grades}
    considered = ({version for _completion, version in flags} | set(judgement.asked)) - graded
    _check_flags({*flags, *grades}, considered | graded, grades.values(), completions)
    answers: dict[Flag, tuple[bool, int | None]] = {}
    for version in sorted(considered | graded):
        for flag in ((completion, version) for completion in completions):
            if flag in grades:
                answers[flag] = (grades[flag] < Violation.Grade.UNSURE, grades[flag])
            elif flag in flags or version in considered:
                answers[flag] = (flag in flags, None)
    return answers


def _check_flags(flags: set[Flag], versions: set[int], grades: Iterable[int], completions: list[int]) -> None:
    known = RuleVersion.objects.filter(pk__in=versions).count() if versions else 0
    if known != len(versions) or any(completion not in completions for completion, _version in flags):
        raise BadFlags
    if any(grade not in Violation.Grade.values for grade in grades):
        raise BadFlags


def store_answers(made: Ranking, checked: Checked) -> None:
    if not checked.answers:
        return
    Violation.objects.bulk_create(
        Violation(
            rule_version_id=version,
            completion_id=completion,
            ranking=made,
            annotator_id=made.annotator_id,
            is_violation=violates,
            grade=grade,
            is_simulated=made.is_simulated,
        )
        for (completion, version), (violates, grade) in checked.answers.items()
    )


def active(counted: float | None, wall_seconds: float) -> float | None:
    """The active seconds, which are never more than those that passed; None where the page did not count."""
    if counted is None or not math.isfinite(counted) or counted < 0:
        return None
    return min(counted, wall_seconds)
