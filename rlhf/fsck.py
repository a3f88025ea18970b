"""The site's promises held against the database, the model directory and the processes; it changes nothing.

Numbers are those of the promises: feedback (1), replies (2, 3), the live policy (4, 5), trainers (6), snapshots (7),
the audit log (8), leftovers (9), errors that say something (10). Beyond them: usage (11).
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from pathlib import Path

import psutil
from django.conf import settings
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Count, Exists, F, Max, OuterRef, Q

from accounts import audit
from accounts.models import AuditEntry
from chat import policies
from chat.errors import OF_A_REPLY, BadPolicy
from chat.models import Chunk, Conversation, Message, Pair, Policy, Reply, Ticket
from feedback.models import Comparison, Ranking, RankingTask
from metering.models import Usage
from rlhf import leases, snapshots
from rlhf.models import Promotion, Run, Snapshot, Source

LEASE_GRACE = timedelta(minutes=2)
DRAFT_AGE_S = 3600.0


@dataclass(frozen=True)
class Problem:
    promise: int
    text: str


Check = tuple[int, Callable[[], Iterator[str]]]
"""The number of a promise, and what tells where it does not hold."""


def problems() -> list[Problem]:
    """Everything that is not as promised; empty on a sound site."""
    return [Problem(promise, text) for promise, check in all_checks() for text in check()]


def all_checks() -> list[Check]:
    """This app's, and those of the apps above it (settings.FSCK)."""
    return [*CHECKS, *(check for path in settings.FSCK for check in import_module(path).CHECKS)]


def feedback_is_whole() -> Iterator[str]:
    for ranking in Ranking.objects.prefetch_related("task__completions").iterator(chunk_size=500):
        completions = {str(completion.pk) for completion in ranking.task.completions.all()}
        if set(ranking.ranks) != completions:
            yield f"ranking {ranking.pk} does not rank each completion of its task once"
    doubled = Ranking.objects.values("task", "annotator").annotate(times=Count("pk")).filter(times__gt=1)
    for row in doubled:
        yield f"task {row['task']} was ranked {row['times']} times by user {row['annotator']}"
    for pk in RankingTask.objects.filter(state="done", rankings=None).values_list("pk", flat=True):
        yield f"task {pk} is done, but no ranking of it is there"
    for pk in Comparison.objects.filter(pair__revealed_at=None).values_list("pk", flat=True):
        yield f"comparison {pk} was made, but its pair still hides who wrote what"


def replies_end() -> Iterator[str]:
    late = leases.later(-LEASE_GRACE)
    streaming = Reply.objects.filter(state=Reply.State.STREAMING, lease_until__lt=late)
    for pk in streaming.values_list("pk", flat=True):
        yield f"reply {pk} is still open, minutes after its talker fell silent"
    for pk in Reply.objects.exclude(state__in=Reply.LIVE).filter(ended_at=None).values_list("pk", flat=True):
        yield f"reply {pk} has ended without a time"


def text_is_its_chunks() -> Iterator[str]:
    for chunk in Chunk.objects.filter(~Exists(Reply.objects.filter(pk=OuterRef("reply_id")))).order_by("pk"):
        yield f"chunk {chunk.pk} is left of reply {chunk.reply_id}, which is gone"
    counted = Reply.objects.annotate(chunk_count=Count("chunks"), newest=Max("chunks__seq"))
    for reply in counted.exclude(state__in=Reply.LIVE).select_related("message").iterator(chunk_size=500):
        if reply.chunk_count != (reply.newest or 0) or reply.last_seq != (reply.newest or 0):
            yield f"reply {reply.pk}: {reply.chunk_count} chunks, the last is {reply.newest}, noted {reply.last_seq}"
        elif "".join(reply.chunks.values_list("text", flat=True)) != reply.message.text:
            yield f"reply {reply.pk}: its text is not what its chunks say"
        elif reply.state == Reply.State.COMPLETE and not reply.message.text.startswith(reply.prefix):
            yield f"reply {reply.pk} does not begin as it was asked to"


def tickets_end() -> Iterator[str]:
    late = leases.later(-LEASE_GRACE)
    open_still = Ticket.objects.exclude(state=Ticket.State.ENDED).filter(lease_until__lt=late)
    for pk in open_still.values_list("pk", flat=True):
        yield f"ticket {pk} is still open, minutes after whoever waited for it has gone"


def trees_are_whole() -> Iterator[str]:
    strange = Message.objects.exclude(parent=None).exclude(parent__conversation=F("conversation"))
    for pk in strange.values_list("pk", flat=True):
        yield f"message {pk} follows one of another conversation"
    strays = Conversation.objects.exclude(tip=None).exclude(tip__conversation=F("pk"))
    for conversation in strays.values_list("pk", flat=True):
        yield f"conversation {conversation}: its open path ends in another one"
    for pair in Pair.objects.select_related("left__message", "right__message"):
        answered = {pair.left.message.parent_id, pair.right.message.parent_id}
        if answered != {pair.message_id} or pair.left_id == pair.right_id:
            yield f"pair {pair.pk} is not of two replies to its message"


def one_policy_is_live() -> Iterator[str]:
    live = list(Policy.objects.filter(is_live=True))
    if len(live) != 1 and Policy.objects.exists():
        yield f"{len(live)} policies are live"
    for policy in live:
        yield from weights_are_whole(policy)


def weights_are_whole(policy: Policy) -> Iterator[str]:
    if policy.is_scripted:
        return
    try:
        directory = policies.directory(policy)
        if policies.verify(directory) != policy.manifest_sha256:
            yield f"{policy.name}: its manifest is not the one that was registered"
        for name in policies.nonfinite_tensors(directory):
            yield f"{policy.name}: {name} holds values that are not finite"
    except (BadPolicy, OSError) as error:
        yield f"{policy.name}: {error}"


def live_was_allowed() -> Iterator[str]:
    newest = Promotion.objects.first()
    live = Policy.objects.filter(is_live=True, is_scripted=False).first()
    if live is not None and (newest is None or newest.policy_id != live.pk):
        yield f"{live.name} is live, but the last promotion says otherwise"
    for promotion in Promotion.objects.select_related("decision", "actor"):
        decision = promotion.decision
        if promotion.kind == Promotion.Kind.GATE and (decision is None or not decision.passed):
            yield f"promotion {promotion.pk} has no passed decision of the gate"
        if promotion.kind == Promotion.Kind.FORCED and (promotion.actor is None or not promotion.reason.strip()):
            yield f"promotion {promotion.pk} was forced without a name or a reason"


def one_trainer_a_run() -> Iterator[str]:
    live = {str(run.path): run.pk for run in Run.objects.filter(state__in=Run.LIVE)}
    for directory, pids in trainers().items():
        if len(pids) > 1:
            yield f"{len(pids)} trainers work on {directory}"
        if directory not in live and Path(directory).name.startswith("run-"):
            yield f"process {pids[0]} trains on {directory}, whose run is over"


def trainers() -> dict[str, list[int]]:
    """Pids of training processes of this site, by run directory."""
    root, found = str(settings.RUNS_DIR) + os.sep, dict[str, list[int]]()
    for process in psutil.process_iter(["cmdline"]):
        last = (process.info["cmdline"] or [""])[-1]
        if last.startswith(root):
            found.setdefault(last, []).append(process.pid)
    return found


def snapshots_are_unchanged() -> Iterator[str]:
    for snapshot in Snapshot.objects.all():
        yield from snapshots.problems(snapshot)


def sources_are_told() -> Iterator[str]:
    """Who withdraws consent is told every snapshot that holds words of theirs."""
    for snapshot in Snapshot.objects.filter(erased_at=None):
        chosen = Comparison.objects.filter(pk__in=snapshot.comparison_ids)
        ranked = Ranking.objects.filter(pk__in=snapshot.ranking_ids).exclude(task__prompt__message=None)
        used = set(chosen.values_list("pair__message__conversation", flat=True))
        used |= set(ranked.values_list("task__prompt__message__conversation", flat=True))
        told = set(Source.objects.filter(snapshot=snapshot).values_list("conversation", flat=True))
        for conversation in sorted(used - told):
            yield f"snapshot {snapshot.pk} holds words of conversation {conversation}, and nobody is told so"


def acts_are_in_the_log() -> Iterator[str]:
    for entry_id in audit.broken_links():
        yield f"audit entry {entry_id} does not follow from the one before it"
    told = {
        entry.after.get("promotion")
        for entry in AuditEntry.objects.filter(verb__in=("policy.promote", "policy.rollback"))
    }
    for pk in Promotion.objects.exclude(pk__in=told - {None}).values_list("pk", flat=True):
        yield f"promotion {pk} is not in the audit log"


def nothing_is_left_over() -> Iterator[str]:
    late = leases.later(-LEASE_GRACE)
    for run in Run.objects.filter(state__in=(Run.State.RUNNING, Run.State.CANCELLING), lease_until__lt=late):
        yield f"run {run.pk}: its lease ran out at {run.lease_until}, and nobody took it over"
    folders = (settings.MODELS_DIR, settings.RUNS_DIR, settings.RUNS_DIR / "snapshots")
    for draft in (draft for folder in folders for draft in Path(folder).glob("tmp-*")):
        if time.time() - draft.stat().st_mtime > DRAFT_AGE_S:
            yield f"{draft} is left over from a process that died"


def errors_say_something() -> Iterator[str]:
    bad = (Reply.State.INTERRUPTED, Reply.State.FAILED)
    for reply in Reply.objects.filter(state__in=bad).exclude(error__in=OF_A_REPLY):
        yield f"reply {reply.pk} ended badly, and its error {reply.error!r} says nothing to people"
    blocked = Q(state=Reply.State.BLOCKED)
    for reply in Reply.objects.filter((blocked & Q(blocked_by="")) | (~blocked & ~Q(blocked_by=""))):
        yield f"reply {reply.pk} is {reply.state}, and {reply.blocked_by or 'nothing'!r} is said to have blocked it"
    for pk in Run.objects.filter(state=Run.State.FAILED, error="").values_list("pk", flat=True):
        yield f"run {pk} failed without a reason"


def usage_is_written_down() -> Iterator[str]:
    """Of every reply and every ticket that an engine worked for, since there is a ledger."""
    since = MigrationRecorder.Migration.objects.get(app="metering", name="0001_initial").applied
    ended = Reply.objects.exclude(state__in=Reply.LIVE).filter(ended_at__gt=since).exclude(policy=None)
    replies = ended.exclude(started_at=None).values_list("pk", flat=True)
    granted = Ticket.objects.filter(state=Ticket.State.ENDED).exclude(granted_at=None)
    told = set(Usage.objects.filter(kind__in=(Usage.Kind.CHAT, Usage.Kind.API)).values_list("ref", flat=True))
    wanted = [f"reply:{pk}" for pk in replies] + [f"ticket:{pk}" for pk in granted.values_list("pk", flat=True)]
    for ref in wanted:
        if ref not in told:
            yield f"{ref} has ended, and what it used is not written down"


CHECKS: tuple[Check, ...] = (
    (1, feedback_is_whole),
    (2, replies_end),
    (2, tickets_end),
    (3, text_is_its_chunks),
    (3, trees_are_whole),
    (4, one_policy_is_live),
    (5, live_was_allowed),
    (6, one_trainer_a_run),
    (7, snapshots_are_unchanged),
    (7, sources_are_told),
    (8, acts_are_in_the_log),
    (9, nothing_is_left_over),
    (10, errors_say_something),
    (11, usage_is_written_down),
)
