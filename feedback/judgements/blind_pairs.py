"""Blind comparisons of two policies: pairs of replies as ranking tasks, their answers, and the end of their round."""

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery
from django.urls import reverse
from django.utils import timezone

from accounts import notices
from accounts.models import Notice
from accounts.roles import Role
from chat.models import Policy
from feedback import trainable
from feedback.judgements import assignments
from feedback.models import BlindPair, ComparisonRound, Completion, Prompt, Ranking, RankingTask, Skip
from feedback.prompts import SYSTEM_PROMPT

Closed = ComparisonRound.Closed
SHARE_OF_ONE = 2 / 3
"""Of a round that has to be judged by several people, one of them may judge so much."""
REMIND_EVERY = timedelta(days=3)


@dataclass(frozen=True)
class SampledReply:
    text: str
    is_finished: bool
    """It ended by itself, before the maximum length."""


@dataclass(frozen=True)
class SampledPair:
    """Replies of both policies to one prompt, as an evaluation sampled them."""

    prompt_sha256: str
    prompt_number: int
    draw: int
    candidate: SampledReply
    baseline: SampledReply
    predicted: float
    """What the evaluation's judge said: 1 where it prefers the candidate's reply, 0, or 1/2 for a tie."""
    system_prompt: str = ""
    """That both policies read before the prompt."""


@dataclass(frozen=True)
class Answer:
    """One judgement of one pair."""

    prompt_number: int
    draw: int
    annotator: int
    won: float
    """1 where the candidate's reply was preferred, 1/2 for a tie, 0 where the live policy's was."""
    predicted: float
    is_simulated: bool


@dataclass(frozen=True)
class RoundState:
    """How far a round is."""

    answered: int
    pending: int
    people: int
    simulated: int
    """Answers among them that programs gave."""

    @property
    def wanted(self) -> int:
        return self.answered + self.pending


# --- its beginning --------------------------------------------------------------------------------


@transaction.atomic
def open_round(
    candidate: Policy, baseline: Policy, pairs: Iterable[SampledPair], *, limit: int, needs_several: bool
) -> ComparisonRound:
    """Makes tasks of the first `limit` pairs whose prompts may still be shown and are in a language of the site."""
    chosen = _usable(pairs)[:limit]
    made = ComparisonRound.objects.create(
        candidate=candidate,
        baseline=baseline,
        deadline=timezone.now() + timedelta(days=settings.FEEDBACK_COMPARISON_DAYS),
        most_of_one=math.ceil(SHARE_OF_ONE * len(chosen)) if needs_several else len(chosen),
    )
    for prompt, pair in chosen:
        _add(made, prompt, pair)
    remind(made)
    return made


def _usable(pairs: Iterable[SampledPair]) -> list[tuple[Prompt, SampledPair]]:
    listed = list(pairs)
    shown = trainable.prompts().filter(language__in=settings.FEEDBACK_LANGUAGES, split=Prompt.Split.HELD_OUT)
    known = {row.sha256: row for row in shown.filter(sha256__in={pair.prompt_sha256 for pair in listed})}
    return [(known[pair.prompt_sha256], pair) for pair in listed if pair.prompt_sha256 in known]


def _add(to: ComparisonRound, prompt: Prompt, pair: SampledPair) -> None:
    """The replies are stored in an order drawn by lot: their ids are on the page, and would tell the sides."""
    task = RankingTask.objects.create(prompt=prompt, policy=to.baseline)
    sides = [pair.candidate, pair.baseline]
    random.SystemRandom().shuffle(sides)
    rows = [
        Completion.objects.create(
            task=task,
            index=index,
            text=side.text,
            finish_reason="stop" if side.is_finished else "length",
            parameters={SYSTEM_PROMPT: pair.system_prompt} if pair.system_prompt else {},
        )
        for index, side in enumerate(sides)
    ]
    own = rows[next(index for index, side in enumerate(sides) if side is pair.candidate)]
    BlindPair.objects.create(
        round=to,
        task=task,
        candidate=own,
        prompt_number=pair.prompt_number,
        draw=pair.draw,
        predicted=pair.predicted,
    )


# --- its tasks in the queue -----------------------------------------------------------------------


def offered_to(annotator: int) -> Q:
    """Ranking tasks without those of closed rounds, and of rounds of which this person has judged their share."""
    own = Ranking.objects.filter(annotator=annotator, withdrawn_at=None, task__blind_pair__round=OuterRef("pk"))
    judged = own.order_by().values("task__blind_pair__round").annotate(n=Count("pk")).values("n")
    shared_out = ComparisonRound.objects.filter(closed_at=None).annotate(judged=Subquery(judged))
    full = shared_out.filter(judged__gte=F("most_of_one")).values("pk")
    return ~Q(blind_pair__round__closed_at__isnull=False) & ~Q(blind_pair__round__in=full)


def left_over(now: datetime) -> Q:
    """Tasks of closed rounds that nobody is working on."""
    return Q(blind_pair__round__closed_at__isnull=False) & assignments.nobody_at_work(now)


def pending(of: ComparisonRound) -> QuerySet[RankingTask]:
    """Tasks that somebody may still judge."""
    hidden = Completion.objects.filter(task=OuterRef("pk"), hidden_at__isnull=False)
    return RankingTask.objects.filter(
        Q(state__in=assignments.UNFINISHED), ~Exists(hidden), blind_pair__round=of, prompt__in=trainable.prompts()
    ).order_by("pk")


# --- its answers ----------------------------------------------------------------------------------


def answers(of: ComparisonRound) -> list[Answer]:
    """Those that count: not withdrawn, of nobody who is suspended, and of texts that may still be used."""
    counted = trainable.rankings().filter(task__blind_pair__round=of).order_by("pk")
    return [_answer(made) for made in counted.select_related("task__blind_pair")]


def _answer(made: Ranking) -> Answer:
    pair = made.task.blind_pair
    own = made.ranks[str(pair.candidate_id)]
    other = next(rank for completion, rank in made.ranks.items() if completion != str(pair.candidate_id))
    won = 0.5 if own == other else float(own < other)  # 1 is the best rank
    return Answer(pair.prompt_number, pair.draw, made.annotator_id, won, pair.predicted, made.is_simulated)


def state_of(of: ComparisonRound) -> RoundState:
    found = answers(of)
    return RoundState(
        answered=len(found),
        pending=pending(of).count(),
        people=len({answer.annotator for answer in found}),
        simulated=sum(answer.is_simulated for answer in found),
    )


# --- its end --------------------------------------------------------------------------------------


def close(of: ComparisonRound, because: str) -> bool:
    """Ends the round; the first reason stays. What somebody is judging right now may still be submitted, and is kept
    as any judgement."""
    rows = ComparisonRound.objects.filter(pk=of.pk, closed_at=None)
    closed = bool(rows.update(closed_at=timezone.now(), closed_because=because))
    of.refresh_from_db()
    return closed


@transaction.atomic
def reopen(of: ComparisonRound) -> None:
    """Offers what is left of a round that was cancelled, with as much time as a new one has."""
    deadline = timezone.now() + timedelta(days=settings.FEEDBACK_COMPARISON_DAYS)
    ComparisonRound.objects.filter(pk=of.pk).update(
        closed_at=None, closed_because="", deadline=deadline, reminded_at=None
    )
    of.refresh_from_db()
    counted = Skip.objects.filter(task__blind_pair__round=of).exclude(reason=Skip.Reason.LANGUAGE)
    skipped = counted.values("task").annotate(n=Count("pk"))
    RankingTask.objects.filter(blind_pair__round=of, state=RankingTask.State.WITHDRAWN).exclude(
        pk__in=skipped.filter(n__gte=Skip.THAT_RETIRE).values("task")
    ).update(state=RankingTask.State.OPEN)
    remind(of)


def remind(of: ComparisonRound) -> None:
    """Tells annotators who asked for notices of tasks that comparisons wait, now and every three days."""
    now = timezone.now()
    due = Q(reminded_at=None) | Q(reminded_at__lt=now - REMIND_EVERY)
    with transaction.atomic():
        if not ComparisonRound.objects.filter(due, pk=of.pk, closed_at=None).update(reminded_at=now):
            return
        left = pending(of).count()
        if left:
            _tell(of, left, now)


def _tell(of: ComparisonRound, left: int, now: datetime) -> None:
    kind = notices.Kind.TASKS_WAIT
    about = f"comparisons:{of.pk}:{now:%Y-%m-%d}"
    unread = Notice.objects.filter(person=OuterRef("pk"), kind=kind, read_at=None, about__startswith="comparisons:")
    people = notices.people_of(Role.ANNOTATOR).filter(~Exists(unread)).values_list("pk", flat=True)
    notices.send(kind, {pk: {"comparisons": left} for pk in people}, about=about, link=reverse("rank"))
