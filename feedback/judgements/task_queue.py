"""The queue of ranking tasks: the next one for an annotator, drafts, skips and submission."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, prefetch_related_objects
from django.utils import timezone

from accounts.models import User
from base.dates import start_of_today
from base.shared_cache import in_cache
from feedback import guidelines, trainable
from feedback.errors import AlreadySubmitted, NoLongerAllowed, NotYourTask, TaskError
from feedback.judgements import asked, assignments, blind_pairs, care, corrections, reading_time
from feedback.judgements.judgement import Checked, Judgement, active, check, store_answers
from feedback.models import Assignment, Completion, Ranking, RankingTask, Skip, TaskAnswer
from feedback.moderation import flag_reports, reports
from feedback.projects import offers
from feedback.trust import gold
from feedback.webhooks import told

TOTALS = "feedback:rankings_of_everybody"
MANY = 5000
"""Rankings from which on counting them all takes longer than a page should."""
MANY_WAITING = 100
WAITING_COUNTED = 500
READ_WITH_A_TASK = ("task__prompt__elicits", "task__policy", "task__project", "task__probe__rule")
"""Of an assignment: what its page shows."""

# --- assignments ------------------------------------------------------------------------------


def next_assignment(annotator: User, *, now: datetime | None = None) -> Assignment | None:
    """What the annotator has before them, else a free task, which is assigned to them; None if there is none."""
    now = now or timezone.now()
    own = _assigned_already(annotator, now)
    if own is not None:
        return own
    by_lot = offers.goes_by_lot()
    tasks = _judgeable(annotator, now)

    def turns() -> Iterator[list[int]]:
        return offers.in_turn(tasks, annotator, now, by_lot=by_lot)

    known = gold.due(annotator, are_there_others=lambda: any(turns()))
    if known is not None and (given := assignments.take_first([[known]], annotator, now)) is not None:
        return given
    return assignments.take_first(turns(), annotator, now, is_by_lot=by_lot)


def _assigned_already(annotator: User, now: datetime) -> Assignment | None:
    own = assignments.of(annotator).select_related(*READ_WITH_A_TASK).first()
    if own is None:
        assignments.forget_finished(annotator)
        return None
    if trainable.prompts().filter(pk=own.task.prompt_id).exists() and assignments.renew(own, now):
        return own
    own.delete()
    assignments.drop_all(RankingTask.objects.filter(pk=own.task_id))
    return None


def _judgeable(annotator: User, now: datetime) -> QuerySet[RankingTask]:
    """Tasks that this person may judge, if they are free and offered to them: not skipped or ranked by them, nor from
    their own conversations."""
    hidden = Completion.objects.filter(task=OuterRef("pk"), hidden_at__isnull=False)
    skipped = Skip.objects.filter(task=OuterRef("pk"), annotator=annotator)
    ranked = Ranking.objects.filter(task=OuterRef("pk"), annotator=annotator)
    answered = TaskAnswer.objects.filter(task=OuterRef("pk"), annotator=annotator)
    own = Q(prompt__message__conversation__owner=annotator)
    return (
        RankingTask.objects.filter(~Exists(hidden), ~Exists(skipped), trainable.of_prompts("prompt"))
        .filter(~Exists(ranked), ~Exists(answered))
        .filter(Q(prompt__message__isnull=True) | ~own, blind_pairs.offered_to(annotator.pk))
        .filter(Q(probe=None) | ~Q(probe__prober=annotator))
        .filter(care.bearable(annotator, now))
    )


def save_draft(task_id: int, annotator: User, draft: Mapping[str, Any]) -> None:
    """Stores the unfinished judgement and renews the lease. Raises NotYourTask."""
    until = timezone.now() + settings.FEEDBACK_TASK_LEASE
    if not assigned(task_id, annotator).update(draft=dict(draft), lease_until=until):
        raise NotYourTask


@transaction.atomic
def skip(task_id: int, annotator: User, reason: str) -> None:
    """Returns the task to the queue, for others; an upsetting one is also reported to moderators. Raises
    NotYourTask."""
    own = assigned(task_id, annotator).first()
    task = assignments.end(own) if own is not None else None
    if task is None:
        raise NotYourTask
    Skip.objects.create(task=task, annotator=annotator, reason=reason)
    assignments.settle(task)
    if reason == Skip.Reason.UPSETTING:
        reports.open_for_upsetting(annotator, task)
    if task.skips.exclude(reason=Skip.Reason.LANGUAGE).count() >= Skip.THAT_RETIRE:
        assignments.drop_all(RankingTask.objects.filter(pk=task.pk))


def assigned(task_id: int, annotator: User) -> QuerySet[Assignment]:
    return assignments.of(annotator).filter(task=task_id)


# --- judgements -----------------------------------------------------------------------------------


@transaction.atomic
def submit(task_id: int, annotator: User, judgement: Judgement) -> Ranking:
    """Stores a ranking with its flags, once. Raises BadRanking, BadFlags, AlreadySubmitted, NotYourTask,
    NoLongerAllowed; after any of these nothing has changed, the draft included."""
    own = assigned(task_id, annotator).select_related("task__prompt", "task__project", "annotator").first()
    if own is None:
        raise _refusal(task_id, annotator)
    if not trainable.prompts().filter(pk=own.task.prompt_id).exists():
        raise NoLongerAllowed
    prefetch_related_objects([own.task], "completions")
    checked = check(judgement, [completion.pk for completion in own.task.completions.all()])
    asked.check_refusal(own.task, checked)
    task = assignments.end(own)
    if task is None:
        raise _refusal(task_id, annotator)
    made = _store(own, judgement, checked)
    assignments.settle(task)
    store_answers(made, checked)
    # Of a probe, people had it break a rule on purpose.
    if checked.flagged and asked.probe_of(own.task) is None:
        flag_reports.open_for_flags(annotator, checked.flagged)
    told.of_ranking(made)
    return made


def _store(own: Assignment, judgement: Judgement, checked: Checked) -> Ranking:
    now = timezone.now()
    seconds = (now - own.since).total_seconds()
    made = Ranking(
        task=own.task,
        annotator=own.annotator,
        ranks=checked.ranks,
        strength=checked.strength,
        overall=checked.overall,
        refusal=checked.refusal,
        shown_order=own.shown_order,
        unfolded=checked.unfolded,
        seconds=seconds,
        active_seconds=active(judgement.active_seconds, seconds),
        comment=checked.comment,
        guidelines_version=guidelines.current(own.task.project).number,
        is_by_lot=own.is_by_lot,
        is_simulated=own.annotator.is_simulated,
        created_at=now,
    )
    made.too_fast = reading_time.is_too_fast(made)
    made.save()
    return made


def _refusal(task_id: int, annotator: User) -> TaskError:
    is_ranked = Ranking.objects.filter(task=task_id, annotator=annotator).exists()
    return AlreadySubmitted() if is_ranked else NotYourTask()


def last_correctable(annotator: User) -> Ranking | None:
    """The newest ranking of this person, if it can still be corrected."""
    newest = Ranking.objects.filter(annotator=annotator, is_adjudication=False).order_by("-id").first()
    return newest if newest and corrections.may_correct(newest) else None


def progress(annotator: User) -> dict[str, int]:
    """Numbers of rankings that count (the annotator's today and in all, everybody's) and of waiting tasks
    in their languages, of which no more are counted than WAITING_COUNTED."""
    own = Ranking.objects.filter(annotator=annotator, withdrawn_at__isnull=True, is_adjudication=False)
    today = Count("pk", filter=Q(created_at__gte=start_of_today()))
    return {
        **own.aggregate(today=today, mine=Count("pk")),
        **_of_everybody(),
        "waiting": _waiting(annotator),
    }


def _of_everybody() -> dict[str, int]:
    """Once there are many they are counted every minute alone."""
    kept: dict[str, int] | None = in_cache(lambda cache: cache.get(TOTALS))
    if kept is not None:
        return kept
    here = Q(imported=None)
    counted = Ranking.objects.filter(withdrawn_at__isnull=True).aggregate(
        all=Count("pk", filter=here & Q(is_simulated=False)),
        simulated=Count("pk", filter=here & Q(is_simulated=True)),
        imported=Count("pk", filter=~here),
    )
    if sum(counted.values()) >= MANY:
        in_cache(lambda cache: cache.set(TOTALS, counted, timeout=60))
    return counted


def _waiting(annotator: User) -> int:
    """Where many wait, as they were counted within the last half minute."""
    name = f"feedback:waiting:{annotator.pk}"
    kept: int | None = in_cache(lambda cache: cache.get(name))
    if kept is not None:
        return kept
    counted = _count_waiting(annotator, timezone.now())
    if counted >= MANY_WAITING:
        in_cache(lambda cache: cache.set(name, counted, timeout=30))
    return counted


def _count_waiting(annotator: User, now: datetime) -> int:
    """With those whose answer is known, so that the number tells nobody which they are."""
    open_ones = RankingTask.objects.filter(
        Q(probe=None) | ~Q(probe__prober=annotator),
        offers.offered_to(annotator, now),
        blind_pairs.offered_to(annotator.pk),
        care.bearable(annotator, now),
        state=RankingTask.State.OPEN,
    )
    others = open_ones.order_by()[: WAITING_COUNTED + 1].count()
    return others + gold.waiting(annotator, there_are_others=others > 0)


def own_rankings(annotator: User) -> QuerySet[Ranking]:
    return (
        Ranking.objects.filter(annotator=annotator, is_adjudication=False)
        .select_related("task__prompt")
        .prefetch_related("task__completions", "violations__rule_version")
        .order_by(F("id").desc())
    )
