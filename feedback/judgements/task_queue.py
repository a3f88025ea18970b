"""The queue of ranking tasks: leases for one annotator at a time, drafts, skips, submission and withdrawal."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from accounts.models import User
from base.dates import start_of_today
from feedback import trainable
from feedback.errors import AlreadySubmitted, BadFlags, NoLongerAllowed, NotYourTask, TaskError, TooLate
from feedback.judgements import blind_pairs, rankings
from feedback.judgements.languages import languages_of
from feedback.models import Completion, Ranking, RankingTask, RuleVersion, Skip, Violation
from feedback.moderation import reports

WITHDRAW_WITHIN = timedelta(hours=24)
GUIDELINES_VERSION = 1
"""To be raised with each change of templates/feedback/guidelines.html that may change how people judge."""


@dataclass(frozen=True)
class Judgement:
    """An annotator's input for a task."""

    places: Iterable[tuple[object, object]]
    """(completion id, place) as given; checked on submit."""
    flags: Iterable[tuple[int, int]] = ()
    """(completion id, rule version id) of each violation seen."""
    asked: Iterable[int] = field(default_factory=tuple)
    """Rule versions that the page asked about for each reply: no flag means that the annotator saw no violation."""
    comment: str = ""


# --- leases ---------------------------------------------------------------------------------------


def next_task(annotator: User, *, now: datetime | None = None) -> RankingTask | None:
    """The task leased to the annotator, else a free one, which is leased to them; None if there is none."""
    now = now or timezone.now()
    return _leased_already(annotator, now) or _lease_free_one(annotator, now)


def _leased_already(annotator: User, now: datetime) -> RankingTask | None:
    own = RankingTask.objects.filter(leased_to=annotator, state=RankingTask.State.LEASED)
    task = own.select_related("prompt__elicits", "policy").first()
    if task is None:
        return None
    allowed = own.filter(pk=task.pk, prompt__in=trainable.prompts())
    if allowed.update(lease_until=now + settings.FEEDBACK_TASK_LEASE):
        return task
    own.filter(pk=task.pk).update(state=RankingTask.State.WITHDRAWN, leased_to=None, lease_until=None)
    return None


def _lease_free_one(annotator: User, now: datetime) -> RankingTask | None:
    for pk in _candidates(annotator, now).values_list("pk", flat=True)[:20]:
        order = list(Completion.objects.filter(task=pk).values_list("pk", flat=True))
        random.SystemRandom().shuffle(order)
        try:
            with transaction.atomic():
                won = RankingTask.objects.filter(_free(now), pk=pk).update(
                    state=RankingTask.State.LEASED,
                    leased_to=annotator,
                    leased_at=now,
                    lease_until=now + settings.FEEDBACK_TASK_LEASE,
                    shown_order=order,
                    draft={},
                )
        except IntegrityError:  # another tab of the same person was quicker: one lease per annotator
            return _leased_already(annotator, now)
        if won:
            return RankingTask.objects.select_related("prompt__elicits", "policy").get(pk=pk)
    return None


def _free(now: datetime) -> Q:
    expired = Q(state=RankingTask.State.LEASED, lease_until__lt=now)
    return Q(state=RankingTask.State.OPEN) | expired


def _candidates(annotator: User, now: datetime) -> QuerySet[RankingTask]:
    """Free tasks that this person may judge: in their languages, not skipped or ranked by them, nor from their own
    conversations. Comparisons that a cycle waits for come first."""
    hidden = Completion.objects.filter(task=OuterRef("pk"), hidden_at__isnull=False)
    skipped = Skip.objects.filter(task=OuterRef("pk"), annotator=annotator)
    ranked = Ranking.objects.filter(task=OuterRef("pk"), annotator=annotator)
    own = Q(prompt__message__conversation__owner=annotator)
    return (
        RankingTask.objects.filter(_free(now), ~Exists(hidden), ~Exists(skipped), ~Exists(ranked))
        .filter(Q(prompt__message__isnull=True) | ~own, prompt__in=trainable.prompts())
        .filter(blind_pairs.offered_to(annotator.pk), prompt__language__in=languages_of(annotator))
        .order_by(F("blind_pair__id").asc(nulls_last=True), "id")
    )


def save_draft(task_id: int, annotator: User, draft: Mapping[str, Any]) -> None:
    """Stores the unfinished judgement and renews the lease. Raises NotYourTask."""
    until = timezone.now() + settings.FEEDBACK_TASK_LEASE
    if not leased(task_id, annotator).update(draft=dict(draft), lease_until=until):
        raise NotYourTask


def skip(task_id: int, annotator: User, reason: str) -> None:
    """Returns the task to the queue, for others. Raises NotYourTask."""
    with transaction.atomic():
        if not leased(task_id, annotator).update(
            state=RankingTask.State.OPEN, leased_to=None, lease_until=None, draft={}
        ):
            raise NotYourTask
        Skip.objects.create(task_id=task_id, annotator=annotator, reason=reason)
        if Skip.objects.filter(task_id=task_id).count() >= Skip.THAT_RETIRE:
            RankingTask.objects.filter(pk=task_id).update(state=RankingTask.State.WITHDRAWN)


def leased(task_id: int, annotator: User) -> QuerySet[RankingTask]:
    return RankingTask.objects.filter(pk=task_id, leased_to=annotator, state=RankingTask.State.LEASED)


# --- judgements -----------------------------------------------------------------------------------


@transaction.atomic
def submit(task_id: int, annotator: User, judgement: Judgement) -> Ranking:
    """Stores a ranking with its flags, once. Raises BadRanking, BadFlags, AlreadySubmitted, NotYourTask,
    NoLongerAllowed; after any of these nothing has changed, the draft included."""
    task = leased(task_id, annotator).first()
    if task is None:
        raise _refusal(task_id, annotator)
    if not trainable.prompts().filter(pk=task.prompt_id).exists():
        raise NoLongerAllowed
    completion_ids = list(task.completions.values_list("pk", flat=True))
    ranks = rankings.validated(judgement.places, completion_ids)
    flagged, asked = _checked_flags(judgement, completion_ids)
    done = leased(task_id, annotator).update(state=RankingTask.State.DONE, leased_to=None, lease_until=None)
    if not done:  # a second tab was quicker
        raise _refusal(task_id, annotator)
    now = timezone.now()
    made = Ranking.objects.create(
        task_id=task_id,
        annotator=annotator,
        ranks=ranks,
        shown_order=task.shown_order,
        seconds=(now - task.leased_at).total_seconds() if task.leased_at else 0,
        comment=judgement.comment,
        guidelines_version=GUIDELINES_VERSION,
        created_at=now,
    )
    Violation.objects.bulk_create(_answers(made, completion_ids, flagged, asked))
    reports.open_for_flags(annotator, flagged)
    return made


def _refusal(task_id: int, annotator: User) -> TaskError:
    is_ranked = Ranking.objects.filter(task=task_id, annotator=annotator).exists()
    return AlreadySubmitted() if is_ranked else NotYourTask()


def _checked_flags(judgement: Judgement, completion_ids: list[int]) -> tuple[set[tuple[int, int]], set[int]]:
    """The flags, and the rule versions that were flagged or asked about. Raises BadFlags."""
    flagged = set(judgement.flags)
    asked = set(judgement.asked) | {version for _completion, version in flagged}
    known = RuleVersion.objects.filter(pk__in=asked).count()
    if known != len(asked) or any(completion not in completion_ids for completion, _version in flagged):
        raise BadFlags
    return flagged, asked


def _answers(
    made: Ranking, completion_ids: list[int], flagged: set[tuple[int, int]], asked: set[int]
) -> list[Violation]:
    """A row for each reply and rule: true where flagged; false where the annotator considered the rule, since they
    flagged another reply by it or were asked about it, and did not flag this reply."""
    return [
        Violation(
            rule_version_id=version,
            completion_id=completion,
            ranking=made,
            annotator_id=made.annotator_id,
            is_violation=(completion, version) in flagged,
        )
        for version in sorted(asked)
        for completion in completion_ids
    ]


@transaction.atomic
def withdraw(ranking_id: int, annotator: User) -> None:
    """Withdraws the annotator's own ranking within 24 hours; the task is offered to others again. Idempotent.

    Raises TooLate, and Ranking.DoesNotExist for another person's ranking.
    """
    made = Ranking.objects.select_for_update().get(pk=ranking_id, annotator=annotator)
    if made.withdrawn_at is not None:
        return
    if not may_withdraw(made):
        raise TooLate
    made.withdrawn_at = timezone.now()
    made.save(update_fields=["withdrawn_at"])
    RankingTask.objects.filter(pk=made.task_id, state=RankingTask.State.DONE).update(
        state=RankingTask.State.OPEN, draft={}, shown_order=[]
    )
    reports.close_for_ranking(made)


def may_withdraw(made: Ranking) -> bool:
    return made.withdrawn_at is None and timezone.now() - made.created_at <= WITHDRAW_WITHIN


def last_withdrawable(annotator: User) -> Ranking | None:
    """The newest ranking of this person, if it can still be withdrawn."""
    newest = Ranking.objects.filter(annotator=annotator).order_by("-id").first()
    return newest if newest and may_withdraw(newest) else None


def progress(annotator: User) -> dict[str, int]:
    """Numbers of rankings that count (the annotator's today and in all, everybody's) and of waiting tasks
    in their languages."""
    counted = Ranking.objects.filter(withdrawn_at__isnull=True)
    own = counted.filter(annotator=annotator)
    return {
        "today": own.filter(created_at__gte=start_of_today()).count(),
        "mine": own.count(),
        "all": counted.filter(is_simulated=False).count(),
        "simulated": counted.filter(is_simulated=True).count(),
        "waiting": RankingTask.objects.filter(
            blind_pairs.offered_to(annotator.pk),
            state=RankingTask.State.OPEN,
            prompt__language__in=languages_of(annotator),
        ).count(),
    }


def own_rankings(annotator: User) -> QuerySet[Ranking]:
    return (
        Ranking.objects.filter(annotator=annotator)
        .select_related("task__prompt")
        .prefetch_related("task__completions", "violations__rule_version__rule")
        .order_by(F("id").desc())
    )
