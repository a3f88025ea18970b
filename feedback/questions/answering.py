"""Answers to the questions of projects: stored once, corrected and withdrawn within a day, and counted."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import User
from base.dates import start_of_today
from feedback import guidelines, trainable
from feedback.errors import AlreadySubmitted, NoLongerAllowed, NotYourTask, TakenMeanwhile, TaskError, TooLate
from feedback.judgements import assignments, corrections, reading_time, task_queue
from feedback.judgements.judgement import active
from feedback.models import Assignment, Ranking, RankingTask, TaskAnswer
from feedback.moderation import reports
from feedback.questions.kind import Fields, QuestionKind, Said, asked
from feedback.questions.kinds import KINDS

MOST_COMMENT = 2000
SECONDS = "active_seconds"


def kind_of(task: RankingTask) -> QuestionKind:
    return KINDS[task.project.question]


@transaction.atomic
def submit(task_id: int, annotator: User, given: Fields) -> TaskAnswer | Ranking:
    """Stores what a form says, once. Raises BadAnswer, BadRanking, AlreadySubmitted, NotYourTask, NoLongerAllowed;
    after any of these nothing has changed, the draft included."""
    own = task_queue.assigned(task_id, annotator).select_related("task__prompt", "task__project", "annotator").first()
    if own is None:
        raise _refusal(task_id, annotator)
    kind = kind_of(own.task)
    said = kind.read(given, asked(own.task, own.shown_order))
    if kind.is_order:
        comment = given.get("comment", "")[:MOST_COMMENT]
        return task_queue.submit(task_id, annotator, kind.judgement(said, comment, _seconds(given)))
    if not trainable.prompts().filter(pk=own.task.prompt_id).exists():
        raise NoLongerAllowed
    task = assignments.end(own)
    if task is None:
        raise _refusal(task_id, annotator)
    made = _store(own, said, given)
    kind.keep(made)
    assignments.settle(task)
    return made


def _store(own: Assignment, said: Said, given: Fields) -> TaskAnswer:
    now = timezone.now()
    seconds = (now - own.since).total_seconds()
    made = TaskAnswer(
        task=own.task,
        annotator=own.annotator,
        said=said,
        shown_order=own.shown_order,
        seconds=seconds,
        active_seconds=active(_seconds(given), seconds),
        comment=given.get("comment", "")[:MOST_COMMENT],
        guidelines_version=guidelines.current(own.task.project).number,
        is_by_lot=own.is_by_lot,
        created_at=now,
    )
    made.too_fast = reading_time.is_too_fast(made)
    made.save()
    return made


def _seconds(given: Fields) -> float | None:
    try:
        return float(given.get(SECONDS, ""))
    except ValueError:
        return None


def _refusal(task_id: int, annotator: User) -> TaskError:
    own = {"task": task_id, "annotator": annotator}
    is_answered = any(rows.objects.filter(**own).exists() for rows in (TaskAnswer, Ranking))
    return AlreadySubmitted() if is_answered else NotYourTask()


def save_draft(task_id: int, annotator: User, given: Mapping[str, Any]) -> None:
    """Raises NotYourTask."""
    task_queue.save_draft(task_id, annotator, {"fields": dict(given)})


def fields_of(own: Assignment) -> dict[str, str]:
    """Of the draft, if there is one in the form of these questions."""
    found = own.draft.get("fields", {})
    return dict(found) if isinstance(found, dict) else {}


# --- one's own ------------------------------------------------------------------------------------


def own_answers(annotator: User) -> QuerySet[TaskAnswer]:
    rows = TaskAnswer.objects.filter(annotator=annotator, is_adjudication=False).order_by("-id")
    return rows.select_related("task__prompt", "task__project__rule").prefetch_related("task__completions")


def counts(annotator: User) -> dict[str, int]:
    """Judgements of any kind by this person: today, in all, and how many tasks wait for them."""
    found = task_queue.progress(annotator)
    own = TaskAnswer.objects.filter(annotator=annotator, withdrawn_at=None)
    today = own.filter(created_at__gte=start_of_today()).count()
    return {
        "today": found["today"] + today,
        "mine": found["mine"] + own.count(),
        "waiting": found["waiting"],
    }


def may_correct(made: TaskAnswer) -> bool:
    return timezone.now() - made.created_at <= corrections.WITHIN


@transaction.atomic
def withdraw(answer_id: int, annotator: User) -> None:
    """Within a day; the task is offered to others again. Idempotent. Raises TooLate, and TaskAnswer.DoesNotExist for
    another person's."""
    made = TaskAnswer.objects.select_for_update().get(pk=answer_id, annotator=annotator, is_adjudication=False)
    if made.withdrawn_at is not None:
        return
    if not may_correct(made):
        raise TooLate
    made.withdrawn_at = timezone.now()
    made.save(update_fields=["withdrawn_at"])
    assignments.settle(RankingTask.objects.select_for_update().get(pk=made.task_id))
    flags = made.violations.filter(is_violation=True).values_list("completion_id", "rule_version_id")
    reports.close_for_flags(annotator, {(completion or 0, version) for completion, version in flags})


@transaction.atomic
def correct(answer_id: int, annotator: User, given: Fields) -> TaskAnswer:
    """Replaces what the answer says, and keeps what it said; a withdrawn one counts again if its place is free.

    Raises BadAnswer, TooLate, TakenMeanwhile, NoLongerAllowed, and TaskAnswer.DoesNotExist for another person's.
    """
    made = TaskAnswer.objects.select_for_update().get(pk=answer_id, annotator=annotator, is_adjudication=False)
    task = RankingTask.objects.select_for_update().get(pk=made.task_id)
    kind = kind_of(task)
    said = kind.read(given, asked(task, made.shown_order))
    _refuse(made, task)
    was_withdrawn = made.withdrawn_at is not None
    made.history = [
        *made.history,
        {"until": timezone.now().isoformat(), "said": made.said, "withdrawn": was_withdrawn},
    ]
    made.said, made.comment = said, given.get("comment", "")[:MOST_COMMENT]
    made.corrected_at, made.withdrawn_at = timezone.now(), None
    made.save(update_fields=["said", "comment", "history", "corrected_at", "withdrawn_at"])
    kind.keep(made, was_withdrawn=was_withdrawn)
    assignments.settle(task)
    return made


def _refuse(made: TaskAnswer, task: RankingTask) -> None:
    if not may_correct(made):
        raise TooLate
    if not trainable.prompts().filter(pk=task.prompt_id).exists():
        raise NoLongerAllowed
    is_free = task.state in assignments.UNFINISHED and assignments.has_room(task)
    if made.withdrawn_at is not None and not is_free:
        raise TakenMeanwhile
