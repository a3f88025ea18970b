"""fsck's checks of training and release: the live policy, trainers, snapshots, promotions, leftovers of runs."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from django.conf import settings
from django.db.models import Count
from django.utils import timezone

from accounts.models import AuditEntry
from base.fsck import LEASE_GRACE, Check
from chat import policies
from chat.errors import BadPolicy
from chat.models import Policy
from feedback.models import Comparison, Ranking
from rlhf.models import Decision, Evaluation, Promotion, Run, Snapshot, Source
from rlhf.runs import leases
from rlhf.snapshots import freezing

DRAFT_AGE_S = 3600.0


def one_policy_is_live() -> Iterator[str]:
    live = list(Policy.objects.filter(is_live=True))
    if len(live) != 1 and Policy.objects.exists():
        yield f"{len(live)} policies are live"
    for policy in live:
        yield from _weights_are_undamaged(policy)


def _weights_are_undamaged(policy: Policy) -> Iterator[str]:
    if policy.is_scripted:
        return
    try:
        directory = policies.directory(policy)
        if policies.verify(directory) != policy.manifest_sha256:
            yield f"{policy.name}: its manifest is not the one that was registered"
        for name in policies.nonfinite_tensors(directory):
            yield f"{policy.name}: {name} contains values that are not finite"
    except (BadPolicy, OSError) as error:
        yield f"{policy.name}: {error}"


def live_was_allowed() -> Iterator[str]:
    newest = Promotion.objects.first()
    live = Policy.objects.filter(is_live=True, is_scripted=False).first()
    if live is not None and (newest is None or newest.policy_id != live.pk):
        yield f"{live.name} is live, but the last promotion is of another policy"
    for promotion in Promotion.objects.select_related("decision", "actor"):
        decision = promotion.decision
        if promotion.kind == Promotion.Kind.GATE and (decision is None or not decision.passed):
            yield f"promotion {promotion.pk} has no gate decision that passed"
        if promotion.kind == Promotion.Kind.FORCED and (promotion.actor is None or not promotion.reason.strip()):
            yield f"promotion {promotion.pk} was forced without a name or a reason"


def one_trainer_a_run() -> Iterator[str]:
    live = {str(run.path): run.pk for run in Run.objects.filter(state__in=Run.WORKING)}
    for directory, pids in _trainers().items():
        if len(pids) > 1:
            yield f"{len(pids)} trainers are running on {directory}"
        if directory not in live and Path(directory).name.startswith("run-"):
            yield f"process {pids[0]} trains on {directory}, whose run has ended"


def _trainers() -> dict[str, list[int]]:
    """Pids of training processes of this site, by run directory."""
    root, found = str(settings.RUNS_DIR) + os.sep, dict[str, list[int]]()
    for process in psutil.process_iter(["cmdline"]):
        last = (process.info["cmdline"] or [""])[-1]
        if last.startswith(root):
            found.setdefault(last, []).append(process.pid)
    return found


def snapshots_are_unchanged() -> Iterator[str]:
    for snapshot in Snapshot.objects.all():
        yield from freezing.problems(snapshot)


def sources_are_recorded() -> Iterator[str]:
    """Each conversation whose words are in a snapshot has a Source row, by which a withdrawal of consent finds it."""
    for snapshot in Snapshot.objects.filter(erased_at=None):
        chosen = Comparison.objects.filter(pk__in=snapshot.comparison_ids)
        ranked = Ranking.objects.filter(pk__in=snapshot.ranking_ids).exclude(task__prompt__message=None)
        used = set(chosen.values_list("pair__message__conversation", flat=True))
        used |= set(ranked.values_list("task__prompt__message__conversation", flat=True))
        recorded = set(Source.objects.filter(snapshot=snapshot).values_list("conversation", flat=True))
        for conversation in sorted(used - recorded):
            yield f"snapshot {snapshot.pk} contains text of conversation {conversation}, but records no use of it"


def promotions_are_in_the_log() -> Iterator[str]:
    logged = {
        entry.after.get("promotion")
        for entry in AuditEntry.objects.filter(verb__in=("policy.promote", "policy.rollback"))
    }
    for pk in Promotion.objects.exclude(pk__in=logged - {None}).values_list("pk", flat=True):
        yield f"promotion {pk} is not in the audit log"


def nothing_is_left_over() -> Iterator[str]:
    late = leases.later(-LEASE_GRACE)
    for run in Run.objects.filter(state__in=(Run.State.RUNNING, Run.State.CANCELLING), lease_until__lt=late):
        yield f"run {run.pk}: its lease expired at {run.lease_until}, and no supervisor took it over"
    folders = (settings.MODELS_DIR, settings.RUNS_DIR, settings.RUNS_DIR / "snapshots")
    for draft in (draft for folder in folders for draft in Path(folder).glob("tmp-*")):
        if time.time() - draft.stat().st_mtime > DRAFT_AGE_S:
            yield f"{draft} is left over from a process that died"


def failures_have_a_reason() -> Iterator[str]:
    for pk in Run.objects.filter(state=Run.State.FAILED, error="").values_list("pk", flat=True):
        yield f"run {pk} failed without a reason"


def waiting_runs_are_asked_for() -> Iterator[str]:
    """A run that waits for people has no worker, and a round that they can answer, until the gate decided."""
    for run in Run.objects.filter(state=Run.State.WAITING).select_related("comparison_round"):
        if run.owner or run.lease_until is not None:
            yield f"run {run.pk} waits for people, but has a lease"
        if run.comparison_round is None:
            yield f"run {run.pk} waits for people, but nobody is asked anything"
        if Decision.objects.filter(evaluation__run__parent=run).exists():
            yield f"run {run.pk} waits for people, but the gate has decided"
    late = timezone.now() - LEASE_GRACE
    left = Run.objects.exclude(state__in=Run.LIVE).filter(comparison_round__closed_at=None, ended_at__lt=late)
    for pk in left.exclude(comparison_round=None).values_list("pk", flat=True):
        yield f"run {pk} is over, but people are still asked for its comparisons"
    twice = Evaluation.objects.exclude(run__parent=None).annotate(times=Count("decisions")).filter(times__gt=1)
    for pk in twice.values_list("pk", flat=True):
        yield f"evaluation {pk} of a cycle was decided on more than once"


CHECKS: tuple[Check, ...] = (
    (4, one_policy_is_live),
    (5, live_was_allowed),
    (6, one_trainer_a_run),
    (7, snapshots_are_unchanged),
    (7, sources_are_recorded),
    (8, promotions_are_in_the_log),
    (6, waiting_runs_are_asked_for),
    (9, nothing_is_left_over),
    (10, failures_have_a_reason),
)
