"""An annotator's last word on a task: a ranking is corrected, withdrawn, or given again after it was withdrawn."""

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from feedback import trainable
from feedback.errors import NoLongerAllowed, TakenMeanwhile, TooLate
from feedback.judgements import asked, assignments
from feedback.judgements.judgement import Checked, Judgement, check, store_answers
from feedback.models import Ranking, RankingTask
from feedback.moderation import flag_reports, reports

WITHIN = timedelta(hours=24)


def may_correct(made: Ranking) -> bool:
    return timezone.now() - made.created_at <= WITHIN


def may_withdraw(made: Ranking) -> bool:
    return made.withdrawn_at is None and may_correct(made)


@transaction.atomic
def withdraw(ranking_id: int, annotator: User) -> None:
    """Withdraws the annotator's own ranking within 24 hours; the task is offered to others again. Idempotent.

    Raises TooLate, and Ranking.DoesNotExist for another person's ranking.
    """
    made = Ranking.objects.select_for_update().get(pk=ranking_id, annotator=annotator, is_adjudication=False)
    if made.withdrawn_at is not None:
        return
    if not may_withdraw(made):
        raise TooLate
    made.withdrawn_at = timezone.now()
    made.save(update_fields=["withdrawn_at"])
    assignments.settle(RankingTask.objects.select_for_update().get(pk=made.task_id))
    reports.close_for_ranking(made)


@transaction.atomic
def correct(ranking_id: int, annotator: User, judgement: Judgement) -> Ranking:
    """Replaces what the ranking says, and keeps what it said in its history; one that was withdrawn counts again if
    its place is still free. Snapshots that are frozen keep what they have.

    Raises BadRanking, BadFlags, TooLate, TakenMeanwhile, NoLongerAllowed, and Ranking.DoesNotExist for another
    person's; after any of these nothing has changed.
    """
    made = Ranking.objects.select_for_update().get(pk=ranking_id, annotator=annotator, is_adjudication=False)
    task = RankingTask.objects.select_for_update().get(pk=made.task_id)
    checked = check(judgement, list(task.completions.values_list("pk", flat=True)))
    asked.check_refusal(task, checked)
    _refuse(made, task)
    _replace(made, checked)
    assignments.settle(task)
    return made


def _refuse(made: Ranking, task: RankingTask) -> None:
    if not may_correct(made):
        raise TooLate
    if not trainable.prompts().filter(pk=task.prompt_id).exists():
        raise NoLongerAllowed
    is_free = task.state in assignments.UNFINISHED and assignments.has_room(task)
    if made.withdrawn_at is not None and not is_free:
        raise TakenMeanwhile


def _replace(made: Ranking, checked: Checked) -> None:
    before = set() if made.withdrawn_at else _flagged(made)
    made.history = [*made.history, _said(made)]
    made.ranks, made.strength, made.overall = checked.ranks, checked.strength, checked.overall
    made.refusal = checked.refusal
    made.comment, made.corrected_at, made.withdrawn_at = checked.comment, timezone.now(), None
    made.save(
        update_fields=[
            *("history", "ranks", "strength", "overall", "refusal"),
            *("comment", "corrected_at", "withdrawn_at"),
        ],
    )
    made.violations.all().delete()
    store_answers(made, checked)
    reports.close_for_flags(made.annotator, before - checked.flagged)
    if asked.probe_of(made.task) is None:
        flag_reports.open_for_flags(made.annotator, checked.flagged - before)


def _flagged(made: Ranking) -> set[tuple[int, int]]:
    rows = made.violations.filter(is_violation=True, completion__isnull=False)
    return {
        (completion or 0, version) for completion, version in rows.values_list("completion_id", "rule_version_id")
    }


def _said(made: Ranking) -> dict[str, Any]:
    """Without the comment: it is a person's words, which are deleted with them."""
    answers = made.violations.order_by("pk").values_list("completion_id", "rule_version_id", "is_violation", "grade")
    return {
        "until": timezone.now().isoformat(),
        "ranks": made.ranks,
        "strength": made.strength,
        "overall": made.overall,
        "refusal": made.refusal,
        "answers": [list(answer) for answer in answers],
        "withdrawn": made.withdrawn_at is not None,
    }
