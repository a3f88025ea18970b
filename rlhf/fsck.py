"""fsck's checks of training and release: the live policy, trainers, snapshots, promotions, leftovers of runs."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
from django.conf import settings
from django.db.models import Count
from django.utils import timezone

from accounts.models import AuditEntry
from base import shared_state
from base.fsck import LEASE_GRACE, Check
from base.shared_index import PublishedIndex
from base.state_errors import StateDamaged
from chat import policies
from chat.errors import BadPolicy
from chat.models import Policy, ShareOfChats
from feedback.models import Comparison, Ranking
from rlhf import lineage
from rlhf.models import Canary, Decision, Evaluation, Promotion, Run, Snapshot, Source
from rlhf.runs import leases
from rlhf.snapshots import freezing

DRAFT_AGE_S = 3600.0
NOT_STORED = " is not in the shared state: manage.py publish_state"
OTHER_MANIFEST = ": the shared state has another manifest than the one that was registered"


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
        if shared_state.is_on() and not directory.is_dir():
            return  # a look changes nothing, so nothing is brought here: below it is held against its row
        if policies.verify(directory) != policy.manifest_sha256:
            yield f"{policy.name}: its manifest is not the one that was registered"
        for name in policies.nonfinite_tensors(directory):
            yield f"{policy.name}: {name} contains values that are not finite"
        lineage.adapter_root(policy)
    except (BadPolicy, OSError) as error:
        yield f"{policy.name}: {error}"


def shared_state_is_complete() -> Iterator[str]:
    """Every policy with weights, snapshot and reward model in use can be had by every host, by the same manifest."""
    if not shared_state.is_on():
        return
    for policy in Policy.objects.filter(is_scripted=False).exclude(directory=""):
        try:
            path = policies.directory(policy)
        except BadPolicy as error:
            yield f"{policy.name}: {error}"
        else:
            yield from _stored(policy.name, path, partial(_wrong_of_policy, policy))
    for snapshot in Snapshot.objects.filter(erased_at=None):
        wrong_of = partial(_wrong_of_snapshot, snapshot)
        yield from _stored(f"snapshot {snapshot.pk}", snapshot.path, wrong_of, shared_state.content_problems)
    for run in Run.objects.filter(kind=Run.Kind.REWARD_MODEL, state=Run.State.SUCCEEDED):
        yield from _stored(f"run {run.pk}", run.reward_model_path, partial(_wrong_of_reward_model, run))


def _stored(
    what: str,
    path: Path,
    wrong_of: Callable[[PublishedIndex | None], str],
    problems: Callable[[Path], Iterator[str]] = shared_state.problems,
) -> Iterator[str]:
    """What is wrong with its list in the shared state, else with what the list names. Raises StateAway."""
    try:
        index = shared_state.published(path)
        wrong = wrong_of(index)
        yield from [f"{what}{wrong}"] if wrong else problems(path)
    except StateDamaged as error:
        yield f"{what}: {error}"


def _wrong_of_policy(policy: Policy, index: PublishedIndex | None) -> str:
    manifest = index.files.get(policies.MANIFEST) if index is not None else None
    if policy.retired_at is not None:
        return "" if index is None else " was retired, but the shared state has it"
    if manifest is None:
        return NOT_STORED
    return "" if manifest.sha256 == policy.manifest_sha256 else OTHER_MANIFEST


def _wrong_of_snapshot(snapshot: Snapshot, index: PublishedIndex | None) -> str:
    if index is None:
        return NOT_STORED
    return "" if freezing.is_as_frozen(snapshot, index) else OTHER_MANIFEST


def _wrong_of_reward_model(run: Run, index: PublishedIndex | None) -> str:
    is_alone = index is None and run.reward_model_path.is_dir()
    return ": its reward model is on this host alone: manage.py publish_state" if is_alone else ""


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
        with contextlib.suppress(FileNotFoundError):  # it has its name by now
            if time.time() - draft.stat().st_mtime > DRAFT_AGE_S:
                yield f"{draft} is left over from a process that died"
    live = Run.objects.filter(state__in=Run.LIVE)
    used = {f"run-{pk}" for pk in live.values_list("pk", flat=True)}
    for folder in Path(settings.ROLLOUTS_DIR).glob("run-*"):
        if folder.name not in used:
            yield f"{folder} is left over from a run that has ended"


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


def shares_have_a_canary() -> Iterator[str]:
    """A policy answers a share of the chats exactly as long as a canary runs that rests on a pass of the gate."""
    shared = set(ShareOfChats.objects.values_list("policy", flat=True))
    running = set(Canary.objects.filter(state=Canary.State.RUNNING).values_list("policy", flat=True))
    for pk in sorted(shared ^ running):
        yield f"policy {pk} {'answers a share of the chats, but no canary runs' if pk in shared else 'has no share'}"
    for pk in Canary.objects.filter(decision__passed=False).values_list("pk", flat=True):
        yield f"canary {pk} rests on a decision that refused"
    for pk in Canary.objects.exclude(state=Canary.State.RUNNING).filter(why="").values_list("pk", flat=True):
        yield f"canary {pk} ended without a reason"


CHECKS: tuple[Check, ...] = (
    (4, one_policy_is_live),
    (4, shared_state_is_complete),
    (5, live_was_allowed),
    (6, one_trainer_a_run),
    (7, snapshots_are_unchanged),
    (7, sources_are_recorded),
    (5, shares_have_a_canary),
    (8, promotions_are_in_the_log),
    (6, waiting_runs_are_asked_for),
    (9, nothing_is_left_over),
    (10, failures_have_a_reason),
)
