"""Finds the snapshots with rows of people whose judgements no longer count: a new snapshot leaves them out."""

from dataclasses import dataclass

from django.db.models import Q
from django.utils import timezone

from accounts.models import User
from feedback.models import AnnotatorTrust, Comparison, Ranking
from feedback.pseudonyms import own_pseudonym
from rlhf.models import Snapshot


@dataclass(frozen=True)
class Discounted:
    """What a snapshot contains of them."""

    people: int = 0
    lines: int = 0


def in_snapshot(snapshot: Snapshot | None) -> Discounted:
    if snapshot is None:
        return Discounted()
    people = _discounted_people()
    if snapshot.annotators:
        lines = [snapshot.annotators.get(own_pseudonym(person), 0) for person in people]
    else:  # it was frozen before snapshots named their people
        lines = _lines_by_ids(snapshot, people)
    return Discounted(sum(count > 0 for count in lines), sum(lines))


def _discounted_people() -> list[int]:
    """Suspended, closed, or discounted by a moderator. Judgements of erased people stay, as they were given."""
    closed = Q(is_active=False, erased_at=None)
    decided = Q(trust__reason=AnnotatorTrust.Reason.DISCOUNTED)
    found = User.objects.filter(Q(suspended_until__gt=timezone.now()) | closed | decided, is_simulated=False)
    return list(found.order_by("pk").values_list("pk", flat=True))


def _lines_by_ids(snapshot: Snapshot, people: list[int]) -> list[int]:
    frozen = ((Ranking, set(snapshot.ranking_ids)), (Comparison, set(snapshot.comparison_ids)))
    lines = dict.fromkeys(people, 0)
    for model, ids in frozen:
        for pk, person in model._default_manager.filter(annotator__in=people).values_list("pk", "annotator"):
            lines[person] += pk in ids
    return list(lines.values())
