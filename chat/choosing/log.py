"""Records of choices: stores every completion with its scores and what became of it; sums up how long they took."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from chat.choosing.choice import JudgedCompletion
from chat.models import Candidate, Choice

DAY = timedelta(days=1)
Outcome = Choice.Outcome


@dataclass(frozen=True)
class Timing:
    """In milliseconds."""

    median: float
    p95: float


@dataclass(frozen=True)
class Latency:
    """Of the choices of the last day."""

    choices: int
    unscored: int
    """Among them, where the scorer failed."""
    blocked: int
    sampling: Timing | None
    scoring: Timing | None


def store(
    choice: int,
    outcome: Choice.Outcome,
    judged: Sequence[JudgedCompletion],
    *,
    sampling_ms: int | None = None,
    scoring_ms: int | None = None,
    error: str = "",
) -> None:
    """Before the reply is shown, so that none is without its record. Idempotent."""
    with transaction.atomic():
        found = Choice.objects.filter(pk=choice)
        if not found.update(outcome=outcome, sampling_ms=sampling_ms, scoring_ms=scoring_ms, error=error[:300]):
            return  # deleted with its conversation meanwhile
        Candidate.objects.filter(choice=choice).delete()
        Candidate.objects.bulk_create(_row(choice, number, one) for number, one in enumerate(judged))


def latency() -> Latency:
    rows = Choice.objects.filter(created_at__gt=timezone.now() - DAY).exclude(outcome=Outcome.OPEN)
    times = list(rows.values_list("outcome", "sampling_ms", "scoring_ms"))
    return Latency(
        len(times),
        sum(outcome == Outcome.UNSCORED for outcome, _, _ in times),
        sum(outcome == Outcome.BLOCKED for outcome, _, _ in times),
        _timing([ms for _, ms, _ in times if ms is not None]),
        _timing([ms for _, _, ms in times if ms is not None]),
    )


def _timing(times: Sequence[int]) -> Timing | None:
    if not times:
        return None
    p95 = statistics.quantiles(times, n=20, method="inclusive")[-1] if len(times) > 1 else float(times[0])
    return Timing(statistics.median(times), p95)


def _row(choice: int, number: int, judged: JudgedCompletion) -> Candidate:
    completion, scored = judged.completion, judged.scored
    return Candidate(
        choice_id=choice,
        number=number,
        text=completion.text,
        finish_reason=completion.finish_reason,
        completion_tokens=completion.completion_tokens or completion.pieces,
        score=scored.score if scored else None,
        violations=scored.violations if scored else {},
        rank_score=judged.rank_score,
        is_chosen=judged.is_chosen,
        reason=judged.reason,
        left_out_by=judged.left_out_by[:120],
    )
