"""Assignments of tasks to annotators: taken, renewed and ended, never more for a task than judgements are missing."""

import random
from collections.abc import Iterable, Sequence
from datetime import datetime

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts.models import User
from feedback.models import Assignment, Completion, GoldAnswer, Ranking, RankingTask, TaskAnswer
from feedback.questions import disagreements

State = RankingTask.State
UNFINISHED = (State.OPEN, State.LEASED)
LOOKED_AT = 20
"""Tasks that are tried for one that nobody else takes at the same moment."""


def left_lying(now: datetime) -> list[int]:
    """Tasks of whom somebody let their lease expire: they have a place again. Of those who work at the moment there
    are few, so that these are few as well."""
    expired = Assignment.objects.filter(lease_until__lt=now, task__state=State.LEASED)
    return list(expired.order_by("lease_until").values_list("task", flat=True)[:LOOKED_AT])


def nobody_at_work(now: datetime) -> Q:
    """Unfinished tasks that no annotator has before them."""
    at_work = Assignment.objects.filter(task=OuterRef("pk"), lease_until__gte=now)
    return Q(~Exists(at_work), state__in=UNFINISHED)


def of(annotator: User) -> QuerySet[Assignment]:
    """The annotator's assignment, if they have one: at most one at a time. It outlives its lease until somebody else
    takes its place."""
    return Assignment.objects.filter(_is_in_work(), annotator=annotator)


def _is_in_work() -> Q:
    """Of assignments. A task whose answer is known needs no more judgements, and is given to one person after the
    other all the same."""
    return Q(task__state__in=UNFINISHED) | Q(task__gold__is_active=True)


def renew(assignment: Assignment, now: datetime) -> bool:
    """False if it is gone by now."""
    return bool(of(assignment.annotator).filter(pk=assignment.pk).update(lease_until=_end(now)))


def take_first(
    turns: Iterable[Sequence[int]], annotator: User, now: datetime, *, is_by_lot: bool = False
) -> Assignment | None:
    """A place of the first task that still has one, of each turn's tasks in order. What others are just taking is
    tried again after the rest of its turn."""
    for ids in turns:
        for waits in (False, True):
            for pk in ids:
                try:
                    made = _take(pk, annotator, now, waits=waits, is_by_lot=is_by_lot)
                except IntegrityError:  # another tab of the same person was quicker
                    return of(annotator).first()
                if made is not None:
                    return made
    return None


def _take(
    task_id: int, annotator: User, now: datetime, *, waits: bool = False, is_by_lot: bool = False
) -> Assignment | None:
    """Gives the annotator a place of the task; None if there is none any more, or if somebody else is just taking one
    and the caller does not wait. Raises IntegrityError if they have an assignment already."""
    with transaction.atomic():
        rows = RankingTask.objects.select_for_update(skip_locked=not waits, of=("self",)).filter(pk=task_id)
        task = rows.select_related("prompt__elicits", "policy", "project").first()
        if task is None or not (_is_gold(task) or _has_place(task, now)):
            return None
        order = list(Completion.objects.filter(task=task).values_list("pk", flat=True))
        random.SystemRandom().shuffle(order)
        made = Assignment.objects.create(
            task=task,
            annotator=annotator,
            since=now,
            lease_until=_end(now),
            shown_order=order,
            is_by_lot=is_by_lot,
        )
        settle(task)
        return made


def _has_place(task: RankingTask, now: datetime) -> bool:
    return task.state in UNFINISHED and (has_room(task) or _expired(task, now))


def _is_gold(task: RankingTask) -> bool:
    return GoldAnswer.objects.filter(task=task, is_active=True).exists()


def _expired(task: RankingTask, now: datetime) -> bool:
    """Takes the place of whoever let their lease expire first; false if nobody did."""
    expired = task.assignments.filter(lease_until__lt=now).order_by("lease_until").first()
    if expired is not None:
        expired.delete()
    return expired is not None


def end(assignment: Assignment) -> RankingTask | None:
    """Ends it, and returns its task under a lock, to be settled in the same transaction. None if it was gone already:
    a second tab was quicker, or another person took the place."""
    task = RankingTask.objects.select_for_update().get(pk=assignment.task_id)
    ended, _rows = Assignment.objects.filter(pk=assignment.pk).delete()
    return task if ended else None


def drop_all(tasks: QuerySet[RankingTask]) -> int:
    """Withdraws the tasks, from whoever works on them, too. Returns how many."""
    with transaction.atomic():
        ids = list(tasks.filter(state__in=UNFINISHED).values_list("pk", flat=True))
        Assignment.objects.filter(task__in=ids).delete()
        return RankingTask.objects.filter(pk__in=ids).update(state=State.WITHDRAWN)


def settle(task: RankingTask) -> None:
    """Sets the state that follows from the judgements and assignments of the task. To be called under its lock."""
    if task.state == State.WITHDRAWN:
        return
    task.judgements = _judgements(task)
    missing = task.overlap - task.judgements
    if missing <= 0 or _is_gold(task):
        task.state = State.DONE
    else:
        task.state = State.OPEN if task.assignments.count() < missing else State.LEASED
    if task.overlap > 1:
        _note_disagreement(task)
    task.save(update_fields=["state", "judgements", "disagreement", "lead"])


def _note_disagreement(task: RankingTask) -> None:
    """Once all have judged it. One that lacks a judgement again waits for no lead meanwhile."""
    if task.state == State.DONE:
        disagreements.note(task)
    elif task.lead == RankingTask.Lead.WAITING:
        task.lead = RankingTask.Lead.NOT_NEEDED


def has_room(task: RankingTask) -> bool:
    """Whether one more may judge it. To be called under its lock."""
    return _judgements(task) + task.assignments.count() < task.overlap


def _judgements(task: RankingTask) -> int:
    """Rankings or answers, as the project asks; without a lead's decision, which is about them."""
    own = {"task": task, "withdrawn_at": None, "is_adjudication": False}
    return Ranking.objects.filter(**own).count() + TaskAnswer.objects.filter(**own).count()


def forget_finished(annotator: User) -> None:
    """Removes an assignment whose task was withdrawn at the moment at which it was made."""
    finished = Assignment.objects.filter(annotator=annotator).exclude(_is_in_work())
    if finished.exists():  # nearly never, and a page that only reads should not wait for a writer
        finished.delete()


@transaction.atomic
def release(annotator: User) -> None:
    """Gives back what the annotator has, for others."""
    for assignment in Assignment.objects.filter(annotator=annotator):
        task = end(assignment)
        if task is not None:
            settle(task)


def _end(now: datetime) -> datetime:
    return now + settings.FEEDBACK_TASK_LEASE
