"""Reads the judgements by which people are measured: all of theirs that stand, in few queries."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from django.db.models import QuerySet
from numpy.typing import NDArray

from feedback import programs, trainable
from feedback.models import Comparison, Completion, GoldAnswer, Prompt, Ranking, RankingTask, Violation
from feedback.trust.habits import DENSE, JudgedRanking

DENSE_CHARACTERS = re.compile(r"[\u3040-\u9fff\uac00-\ud7a3]+")


@dataclass(frozen=True)
class StoredRanking:
    task: int
    project: int
    person: int
    ranks: dict[int, int]
    """By completion."""
    shown: list[int]
    seconds: float


@dataclass(frozen=True)
class FlagRow:
    completion: int
    project: int
    person: int
    rule: str
    is_violation: bool


@dataclass(frozen=True)
class Texts:
    """Lengths of what people read, of prompts by task and of replies by completion."""

    characters: dict[int, int] = field(default_factory=dict)
    letters: dict[int, float] = field(default_factory=dict)
    of_prompt: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Pairs:
    """Answers to "is the first of these two replies better?", without ties: (answers,) each."""

    item: NDArray[np.int64]
    person: NDArray[np.int64]
    """Places in `people`."""
    answer: NDArray[np.bool_]
    weight: NDArray[np.float64]
    """2 / K of a ranking of K replies: its pairs together weigh as the K - 1 choices that an order takes."""
    is_gold: NDArray[np.bool_]
    known: NDArray[np.float64]
    """(items,), 1 or 0 where the answer is known, else NaN."""
    people: list[int]


def rankings() -> list[StoredRanking]:
    """Without the decisions of leads, who had read what the others said."""
    by_people = Ranking.objects.filter(programs.measured(), ~trainable.suspended(), withdrawn_at=None)
    rows = by_people.filter(is_adjudication=False).order_by("pk")
    names = ("task", "task__project", "annotator", "ranks", "shown_order", _time_of(Ranking.objects.all()))
    return [
        StoredRanking(task, project, person, {int(pk): rank for pk, rank in ranks.items()}, shown, seconds or 0.0)
        for task, project, person, ranks, shown, seconds in rows.values_list(*names)
    ]


def _time_of(rows: QuerySet[Ranking]) -> str:
    """Time in which the page was seen, where that is measured, rather than time since the task was given."""
    names = {column.name for column in rows.model._meta.get_fields()}
    return "active_seconds" if "active_seconds" in names else "seconds"


def flags() -> list[FlagRow]:
    """Of replies in rankings, where every reply was looked at under the rule."""
    rows = Violation.objects.filter(
        programs.measured(), ~trainable.suspended(), ranking__withdrawn_at=None, ranking__isnull=False
    ).order_by("pk")
    names = ("completion", "completion__task__project", "annotator", "rule_version__rule__key", "is_violation")
    return [FlagRow(*row) for row in rows.values_list(*names) if row[0] is not None]


def choices() -> Iterator[tuple[int, JudgedRanking]]:
    """(person, choice) of each comparison in the chat, without its texts, and untimed: people chat meanwhile."""
    places = {"left": (1, 2), "right": (2, 1), "tie": (1, 1), "both_bad": (1, 1)}
    rows = Comparison.objects.filter(programs.measured(), ~trainable.suspended(), withdrawn_at=None).order_by("pk")
    for pk, person, choice in rows.values_list("pk", "annotator", "choice"):
        yield person, JudgedRanking(-pk, list(places[choice]), [], 0.0, True, 0.0)


def texts(tasks: Collection[int]) -> Texts:
    found = Texts()
    prompts: dict[int, list[int]] = defaultdict(list)
    for task, prompt in RankingTask.objects.filter(pk__in=tasks).values_list("pk", "prompt"):
        prompts[prompt].append(task)
    for pk, messages in Prompt.objects.filter(tasks__in=tasks).distinct().values_list("pk", "messages").iterator():
        for task in prompts[pk]:
            found.of_prompt[task] = sum(_letters(turn["content"]) for turn in messages)
    for pk, text in Completion.objects.filter(task__in=tasks).values_list("pk", "text").iterator():
        found.characters[pk], found.letters[pk] = len(text), _letters(text)
    return found


def _letters(text: str) -> float:
    """How many Latin letters the text takes to read."""
    return len(text) + (DENSE - 1) * sum(map(len, DENSE_CHARACTERS.findall(text)))


def judged(row: StoredRanking, of: Texts) -> JudgedRanking:
    is_ordered = sorted(row.shown) == sorted(row.ranks)
    order = row.shown if is_ordered else sorted(row.ranks)
    return JudgedRanking(
        task=row.task,
        ranks=[row.ranks[pk] for pk in order],
        lengths=[of.characters.get(pk, 0) for pk in order],
        seconds=row.seconds,
        is_ordered=is_ordered,
        reading=of.of_prompt.get(row.task, 0.0) + sum(of.letters.get(pk, 0.0) for pk in order),
    )


def pairs(rows: Iterable[StoredRanking]) -> Pairs | None:
    """Of pairs of replies that two people or more put in an order, or whose order is known; None without any."""
    gold = {answer.task_id: answer.ranks for answer in GoldAnswer.objects.filter(is_active=True)}
    answers = [answer for row in rows for answer in _answers(row)]
    known = {
        pair: float(ranks[str(pair[0])] < ranks[str(pair[1])])
        for ranks in gold.values()
        for pair in combinations(sorted(map(int, ranks)), 2)
        if ranks[str(pair[0])] != ranks[str(pair[1])]
    }
    people_of: dict[tuple[int, int], int] = defaultdict(int)
    for pair, *_rest in answers:
        people_of[pair] += 1
    told = [answer for answer in answers if people_of[answer[0]] > 1 or answer[0] in known]
    return _as_arrays(told, known) if told else None


Answer = tuple[tuple[int, int], int, bool, float]
"""(pair, person, first is better, weight)."""


def _answers(row: StoredRanking) -> Iterator[Answer]:
    for one, other in combinations(sorted(row.ranks), 2):
        if row.ranks[one] != row.ranks[other]:
            yield (one, other), row.person, row.ranks[one] < row.ranks[other], 2 / len(row.ranks)


def _as_arrays(told: Sequence[Answer], known: dict[tuple[int, int], float]) -> Pairs:
    items = {pair: number for number, pair in enumerate(sorted({answer[0] for answer in told}))}
    people = sorted({answer[1] for answer in told})
    place = {person: number for number, person in enumerate(people)}
    return Pairs(
        item=np.array([items[answer[0]] for answer in told], dtype=np.int64),
        person=np.array([place[answer[1]] for answer in told], dtype=np.int64),
        answer=np.array([answer[2] for answer in told], dtype=np.bool_),
        weight=np.array([answer[3] for answer in told], dtype=np.float64),
        is_gold=np.array([answer[0] in known for answer in told], dtype=np.bool_),
        known=np.array([known.get(pair, np.nan) for pair in items], dtype=np.float64),
        people=people,
    )
