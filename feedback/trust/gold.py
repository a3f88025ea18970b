"""Gold answers: known answers to ranking tasks, who gets such a task next, and how well somebody did on them."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import mean
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Exists, Min, OuterRef, Q, QuerySet

from accounts.audit import record
from accounts.models import User
from feedback import trainable
from feedback.judgements import assignments, rankings
from feedback.judgements.languages import languages_of
from feedback.models import Completion, GoldAnswer, Project, Ranking, RankingTask, Skip, Violation
from feedback.trust.errors import NoOrder, NotGold
from feedback.trust.statistics.rank_agreement import pair_agreement


@dataclass(frozen=True)
class GoldStanding:
    """How somebody stands on tasks with a known answer."""

    done: int = 0
    needed: int = 0
    """0 where there are none, or where they judged before there were any."""
    score: float | None = None
    """Mean share of each answer that is right, over the newest; None before the first."""

    @property
    def is_missing(self) -> bool:
        return self.done < self.needed

    @property
    def is_low(self) -> bool:
        return self.needed > 0 and self.score is not None and self.score < settings.FEEDBACK_GOLD_FLOOR


# --- known answers --------------------------------------------------------------------------------


def active() -> QuerySet[GoldAnswer]:
    return GoldAnswer.objects.filter(is_active=True)


@transaction.atomic
def set_answer(
    task: RankingTask, places: Iterable[tuple[object, object]], flags: Mapping[str, Sequence[int]], *, actor: User
) -> GoldAnswer:
    """Makes the task one with a known answer, or changes that. Rankings of it do not train from then on.

    Raises BadRanking, NotGold, NoOrder.
    """
    if hasattr(task, "blind_pair"):
        raise NotGold
    ranks = rankings.validated(places, list(task.completions.values_list("pk", flat=True)))
    if len(set(ranks.values())) < 2:
        raise NoOrder
    before = GoldAnswer.objects.filter(task=task).first()
    values: dict[str, Any] = {"ranks": ranks, "flags": dict(flags), "is_active": True, "set_by": actor}
    made, _created = GoldAnswer.objects.update_or_create(task=task, defaults=values)
    RankingTask.objects.filter(pk=task.pk).update(state=RankingTask.State.DONE)
    record(actor, "gold.set", made, before=_as_json(before), after=_as_json(made))
    return made


@transaction.atomic
def take_out(answer: GoldAnswer, *, actor: User) -> None:
    """The task is an ordinary one again, and its rankings count as others do. Idempotent."""
    locked = GoldAnswer.objects.select_for_update().get(pk=answer.pk)
    if locked.is_active:
        locked.is_active = False
        locked.save(update_fields=["is_active"])
        assignments.settle(RankingTask.objects.select_for_update().get(pk=locked.task_id))
        record(actor, "gold.remove", locked, before={"is_active": True}, after={"is_active": False})


def _as_json(answer: GoldAnswer | None) -> dict[str, Any]:
    return {"task": answer.task_id, "ranks": answer.ranks, "flags": answer.flags} if answer is not None else {}


# --- its tasks in the queue -----------------------------------------------------------------------


def due(annotator: User, *, are_there_others: Callable[[], bool], luck: float | None = None) -> int | None:
    """The task with a known answer that this person gets now, if it is time for one: first those that are needed
    before their judgements count, then one now and then by lot, in place of another. `luck`: from 0 to 1, drawn where
    it is None."""
    known = _known()
    if not known:
        return None
    drawn = random.SystemRandom().random() if luck is None else luck
    if not (_is_new(annotator, known) or (drawn < settings.FEEDBACK_GOLD_SHARE and are_there_others())):
        return None
    left = list(offered_to(annotator).values_list("pk", flat=True))
    return random.SystemRandom().choice(left) if left else None


def waiting(annotator: User, *, there_are_others: bool) -> int:
    """How many tasks with a known answer this person may still get."""
    return offered_to(annotator).count() if there_are_others or _is_new(annotator, _known()) else 0


def _known() -> list[int]:
    """The tasks whose answer is known: of these there are few."""
    return list(active().values_list("task", flat=True))


def _is_new(annotator: User, known: Sequence[int]) -> bool:
    done = Ranking.objects.filter(annotator=annotator, withdrawn_at=None, task__in=known).count() if known else 0
    return bool(known) and done < settings.FEEDBACK_GOLD_TASKS and standings([annotator])[annotator.pk].is_missing


def offered_to(annotator: User) -> QuerySet[RankingTask]:
    """Tasks with a known answer that this person has not seen, in their languages, not from their conversations, and
    answered by somebody else."""
    hidden = Completion.objects.filter(task=OuterRef("pk"), hidden_at__isnull=False)
    ranked = Ranking.objects.filter(task=OuterRef("pk"), annotator=annotator)
    skipped = Skip.objects.filter(task=OuterRef("pk"), annotator=annotator)
    own = Q(prompt__message__conversation__owner=annotator)
    return RankingTask.objects.filter(
        ~Exists(hidden),
        ~Exists(ranked),
        ~Exists(skipped),
        Q(prompt__message__isnull=True) | ~own,
        ~Q(gold__set_by=annotator),
        trainable.of_prompts("prompt"),
        pk__in=_known(),
        project__state=Project.State.OPEN,
        prompt__language__in=languages_of(annotator),
    )


# --- how well people do ---------------------------------------------------------------------------


def standings(people: Sequence[User]) -> dict[int, GoldStanding]:
    """Of each person. One who began before the first answer was set is not held up, but measured; nor is one who
    judged elsewhere and cannot be given a task here."""
    by_language = dict(active().values_list("task__prompt__language").annotate(n=Count("pk")))
    if not by_language:
        return {person.pk: GoldStanding() for person in people}
    since = active().aggregate(since=Min("created_at"))["since"]
    known = _known_before(since, people)
    scores = _scores([person.pk for person in people])
    return {person.pk: _standing(person, scores.get(person.pk, []), by_language, known) for person in people}


def _known_before(since: datetime, people: Sequence[User]) -> set[int]:
    rows = Ranking.objects.filter(annotator__in=people, created_at__lt=since)
    return set(rows.order_by().values_list("annotator", flat=True).distinct())


def _standing(person: User, scores: Sequence[float], by_language: Mapping[str, int], known: set[int]) -> GoldStanding:
    asked = settings.FEEDBACK_GOLD_TASKS
    available = sum(by_language.get(language, 0) for language in languages_of(person))
    newest = scores[-max(asked, 1) :]
    return GoldStanding(
        done=len(scores),
        needed=0 if person.is_imported or person.pk in known else min(asked, max(available, len(scores))),
        score=mean(newest) if newest else None,
    )


def _scores(people: Sequence[int]) -> dict[int, list[float]]:
    """Of each person, the share of each answer that is right, the oldest first."""
    rows = Ranking.objects.filter(annotator__in=people, withdrawn_at=None, task__gold__is_active=True)
    flagged = _flagged([row.pk for row in rows.only("pk")])
    found: dict[int, list[float]] = {}
    for row in rows.select_related("task__gold").order_by("pk"):
        found.setdefault(row.annotator_id, []).append(score(row.ranks, flagged.get(row.pk, {}), row.task.gold))
    return found


def _flagged(rankings_of: Sequence[int]) -> dict[int, dict[str, set[int]]]:
    """By ranking and rule, the completions that were flagged."""
    rows = Violation.objects.filter(ranking__in=rankings_of, is_violation=True, completion__isnull=False)
    found: dict[int, dict[str, set[int]]] = {}
    for ranking, rule, completion in rows.values_list("ranking", "rule_version__rule__key", "completion"):
        if ranking is not None and completion is not None:
            found.setdefault(ranking, {}).setdefault(rule, set()).add(completion)
    return found


def score(ranks: Mapping[str, int], flagged: Mapping[str, set[int]], answer: GoldAnswer) -> float:
    """The share that is right: of the pairs that the answer orders, and of its flags, each rule as much as the order.

    Of a rule, what breaks it and what keeps it count alike, however rare the former is.
    """
    order = sorted(answer.ranks)
    parts = [pair_agreement([ranks.get(pk, 0) for pk in order], [answer.ranks[pk] for pk in order])]
    for rule, breaking in answer.flags.items():
        parts.append(_share_of_flags(flagged.get(rule, set()), set(breaking), {int(pk) for pk in order}))
    return mean(part for part in parts if part is not None)


def _share_of_flags(flagged: set[int], breaking: set[int], every: set[int]) -> float:
    sides = [(flagged & breaking, breaking), (every - breaking - flagged, every - breaking)]
    return mean(len(right) / len(side) for right, side in sides if side)
