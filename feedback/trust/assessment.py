"""Assesses everybody who judges: stores their figures, their weights, and what a moderator should look at."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from feedback import programs
from feedback.models import AnnotatorTrust, TrustFinding
from feedback.trust import agreement_figures, gold, habits, judgement_rows, measuring, weighing
from feedback.trust.figures import PersonFigures
from feedback.trust.gold import GoldStanding
from feedback.trust.habits import HabitFinding
from feedback.trust.measuring import Measured

State = TrustFinding.State
AGAIN = 2.0
"""What was cleared is found again once it is made of so many times as many judgements."""


@dataclass(frozen=True)
class Assessed:
    people: int
    opened: int
    """Findings that are new."""


@dataclass
class Decided:
    """What has been found and decided about one person so far."""

    open: dict[str, TrustFinding] = field(default_factory=dict)
    discounted: bool = False
    cleared: dict[str, int] = field(default_factory=dict)
    """By kind, the judgements that it was made of."""


def assess() -> Assessed:
    """All people anew. Programs are not assessed: their share of mistakes is chosen, and they weigh 1; but where they
    stand for people (feedback.programs).

    The database is locked while the result is written, not while it is computed.
    """
    rows, flags = judgement_rows.rankings(), judgement_rows.flags()
    measured = measuring.measure(rows, flags)
    agreement = agreement_figures.compute(rows, flags)
    people = list(User.objects.filter(programs.measured(), pk__in=measured))
    standings = gold.standings(people)
    with transaction.atomic():
        decided = _decided()
        opened = sum(_open(one.pk, measured[one.pk], standings[one.pk], decided[one.pk]) for one in people)
        _store({one.pk: _trust(one.pk, measured[one.pk], standings[one.pk], decided[one.pk]) for one in people})
        agreement_figures.store(agreement)
    return Assessed(len(people), opened)


def reweigh(person: int) -> None:
    """The weight of one person anew, from stored figures: after a decision."""
    stored = AnnotatorTrust.objects.select_for_update().filter(person=person).first()
    if stored is None:
        return
    figures = PersonFigures.of(stored.figures)
    standing = GoldStanding(figures.gold_done, figures.gold_needed, figures.gold_score)
    stored.weight, stored.reason = _weight(figures, standing, _decided()[person])
    stored.save(update_fields=["weight", "reason"])


# --- findings -------------------------------------------------------------------------------------


def _decided() -> dict[int, Decided]:
    found: dict[int, Decided] = defaultdict(Decided)
    for finding in TrustFinding.objects.order_by("pk"):
        of = found[finding.person_id]
        if finding.state == State.OPEN:
            of.open[finding.kind] = finding
        elif finding.state == State.CLEARED:
            of.cleared[finding.kind] = finding.count
        else:
            of.discounted = True
    return found


def _open(person: int, measured: Measured, standing: GoldStanding, decided: Decided) -> int:
    """Opens what is new and brings what is open up to date; returns how many are new."""
    opened = 0
    for finding in (*measured.findings, *_of_gold(standing)):
        if decided.discounted or finding.count < AGAIN * decided.cleared.get(finding.kind, 0):
            continue
        values = {"figure": finding.figure, "threshold": finding.threshold, "count": finding.count}
        others = measured.copies if finding.kind == TrustFinding.Kind.COPYING else []
        row, is_new = TrustFinding.objects.update_or_create(
            person_id=person, kind=finding.kind, state=State.OPEN, defaults={**values, "others": others}
        )
        decided.open[finding.kind] = row
        opened += is_new
    return opened


def _of_gold(standing: GoldStanding) -> Iterable[HabitFinding]:
    if standing.is_low and not standing.is_missing and standing.score is not None:
        yield HabitFinding("gold", standing.score, settings.FEEDBACK_GOLD_FLOOR, standing.done)


# --- figures --------------------------------------------------------------------------------------


def _trust(person: int, measured: Measured, standing: GoldStanding, decided: Decided) -> AnnotatorTrust:
    position, choices = habits.position_share(measured.own)
    figures = PersonFigures(
        judgements=measured.judgements,
        shared=measured.shared,
        accuracy=measured.accuracy,
        tau=measured.tau,
        gold_done=standing.done,
        gold_needed=standing.needed,
        gold_score=standing.score,
        position=position if choices else None,
        choices=choices,
        seconds=habits.median_seconds(measured.own),
        flagged=measured.flagged / measured.asked if measured.asked else None,
        asked=measured.asked,
        rules=measured.rules,
    )
    weight, reason = _weight(figures, standing, decided)
    return AnnotatorTrust(
        person_id=person, weight=weight, reason=reason, figures=figures.as_json(), computed_at=timezone.now()
    )


def _weight(figures: PersonFigures, standing: GoldStanding, decided: Decided) -> tuple[float, str]:
    return weighing.weight(
        figures, standing, open_kinds=decided.open, discounted=decided.discounted, cleared=decided.cleared
    )


def _store(found: Mapping[int, AnnotatorTrust]) -> None:
    AnnotatorTrust.objects.exclude(person__in=found).delete()
    AnnotatorTrust.objects.bulk_create(
        found.values(),
        update_conflicts=True,
        unique_fields=["person"],
        update_fields=["weight", "reason", "figures", "computed_at"],
    )
