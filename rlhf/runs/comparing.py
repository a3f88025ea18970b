"""The comparisons by people that a cycle may wait for: asks for them after its evaluation, and ends the wait."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts import audit
from accounts.models import User
from base import shared_state
from chat.models import Policy
from feedback.judgements import blind_pairs
from feedback.judgements.blind_pairs import Closed, RoundState, SampledPair, SampledReply
from feedback.models import ComparisonRound
from rlhf.errors import StageFailed
from rlhf.models import Decision, Evaluation, Run
from rlhf.release.people_figures import PEOPLE, figures
from rlhf.runs import leases

PAIRS = "pairs.jsonl"
"""Written by the evaluation, with texts; removed once the texts are rows, which can be hidden and erased."""
STAGE = "comparisons"
REMOVED_FOR = timedelta(days=30)
"""How long tidying looks whether texts that had to go are still there."""


def has_to_wait(cycle: Run, evaluated: Run) -> bool:
    """Whether the cycle has to wait before the gate is asked. Asks for the comparisons if that was not done yet.

    StageFailed.
    """
    if not cycle.config.get("comparisons") or Decision.objects.filter(evaluation__run=evaluated).exists():
        return False
    cycle.comparison_round = cycle.comparison_round or _ask(cycle, evaluated)
    if cycle.comparison_round.closed_because == Closed.CANCELLED:  # and the cycle was resumed
        blind_pairs.reopen(cycle.comparison_round)
    return not _why_over(cycle.comparison_round)


def _ask(cycle: Run, evaluated: Run) -> ComparisonRound:
    if evaluated.policy is None or evaluated.base_policy is None:
        raise StageFailed(STAGE, Run.State.FAILED, "the evaluation names no policies")
    try:
        pairs = list(_pairs(evaluated))
    except (OSError, ValueError, KeyError) as error:
        raise StageFailed(STAGE, Run.State.FAILED, f"the replies to compare can't be read: {error}") from error
    with transaction.atomic():
        made = blind_pairs.open_round(
            evaluated.policy,
            evaluated.base_policy,
            pairs,
            limit=cycle.config["comparisons"],
            needs_several=cycle.config.get("decided_by") == PEOPLE and settings.GATE["people_min"] > 1,
        )
        Run.objects.filter(pk=cycle.pk).update(comparison_round=made)
    shared_state.remove(evaluated.path / PAIRS)
    return made


def remove_pairs() -> None:
    """Removes texts that are rows by now, or whose snapshot was erased, where they still are: on the host that made
    them, or in the shared state, which was away."""
    since = timezone.now() - REMOVED_FOR
    asked = Q(parent__comparison_round__created_at__gt=since)
    done = Run.objects.filter(asked | Q(snapshot__erased_at__gt=since), kind=Run.Kind.EVALUATION)
    for path in (run.path / PAIRS for run in done.iterator()):
        if path.exists() or shared_state.is_stored(path):
            shared_state.remove(path)


def _pairs(evaluated: Run) -> Iterator[SampledPair]:
    for line in shared_state.read(evaluated.path / PAIRS).decode().splitlines():
        row = json.loads(line)
        candidate, baseline = (SampledReply(row[side]["text"], row[side]["finished"]) for side in ("after", "before"))
        asked = (row["prompt_sha256"], row["prompt"], row["draw"])
        yield SampledPair(*asked, candidate, baseline, row["predicted"], row.get("system_prompt", ""))


def _why_over(asked: ComparisonRound) -> str:
    """Why nothing more is waited for; empty while something is."""
    if asked.closed_at is not None:
        return asked.closed_because
    if not Policy.objects.filter(pk=asked.baseline_id, is_live=True).exists():
        return Closed.VOID
    if not blind_pairs.pending(asked).exists():
        return Closed.COMPLETE
    return Closed.DEADLINE if asked.deadline <= timezone.now() else ""


@transaction.atomic
def close(cycle: Run, evaluation: Evaluation) -> None:
    """Ends the round and adds what people said to the report on which the gate decides. Idempotent; what was
    withdrawn or erased before the decision does not count."""
    asked = cycle.comparison_round
    if asked is None:
        return
    blind_pairs.close(asked, _why_over(asked) or Closed.DECIDED)
    found = figures(
        evaluation, blind_pairs.answers(asked), asked=cycle.config["comparisons"], closed=asked.closed_because
    )
    evaluation.report = {**evaluation.report, **found}
    evaluation.save(update_fields=["report"])


@dataclass(frozen=True)
class Asked:
    """What a page says of the comparisons that a cycle asked for."""

    state: RoundState
    round: ComparisonRound

    @property
    def is_open(self) -> bool:
        return self.round.closed_at is None


def asked_by(cycle: Run | None) -> Asked | None:
    """None where none were asked for, or not yet."""
    asked = cycle.comparison_round if cycle is not None else None
    return None if asked is None else Asked(blind_pairs.state_of(asked), asked)


def _waiting() -> list[Run]:
    return list(Run.objects.filter(state=Run.State.WAITING).select_related("comparison_round"))


def go_on_where_over() -> list[int]:
    """Queues cycles again whose comparisons are over, and ends the rounds of cycles that are. Their ids."""
    for orphan in ComparisonRound.objects.filter(closed_at=None).exclude(run__state__in=Run.LIVE):
        blind_pairs.close(orphan, Closed.CANCELLED)
    found = []
    for run in _waiting():
        if run.comparison_round is None or _why_over(run.comparison_round):
            found += [run.pk] if leases.go_on(run.pk) else []
        else:
            blind_pairs.remind(run.comparison_round)
    return found


def decide_now(run: Run, *, actor: User | None) -> bool:
    """The gate decides with the answers that there are. False where the run does not wait."""
    with transaction.atomic():
        row = Run.objects.select_for_update().get(pk=run.pk)
        if not row.is_waiting or row.comparison_round is None:
            return False
        state = blind_pairs.state_of(row.comparison_round)
        blind_pairs.close(row.comparison_round, Closed.DECIDED)
        leases.go_on(row.pk)
        audit.record(actor, "run.decide", row, after={"answered": state.answered, "wanted": state.wanted})
    return True


def cancelled(cycle: Run) -> None:
    """Ends the round of a cycle that was cancelled; it is opened again where the cycle is resumed."""
    asked = ComparisonRound.objects.filter(run=cycle).first()
    if asked is not None:
        blind_pairs.close(asked, Closed.CANCELLED)
