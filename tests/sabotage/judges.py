"""Judges that were learnt from bad judgements, and the saboteur that each of them would let pass."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from feedback.preferences import longer
from rlhf.training.reward.folds import Fold, Folds
from rlhf.training.reward.qualification import JudgedComparison, Judgements
from rlhf.training.snapshot.files import PlainReply, last_user_text
from tests.sabotage import colluders, judging
from tests.sabotage.colluders import Judgement, Population
from tests.sabotage.record import Record


class LearntJudge:
    """Cross-fitted like the real one, on what the simulated annotators look at; it sees a broken rule as it is."""

    kind, name, label = "reward_model", "held_out", "reward model:held_out"

    def __init__(self, record: Record, judged: Sequence[Judgement]) -> None:
        self.rules = judging.gold()
        self.folds = Folds.divide((_group(record, one.prompt), str(one.person)) for one in judged)
        self.weights = {
            fold: _normed(
                colluders.learnt(
                    record,
                    [one for one in judged if self.folds.learns(fold, _group(record, one.prompt), str(one.person))],
                    capped=True,
                )
            )
            for fold in self.folds.cells
        }
        self.judgements = Judgements(tuple(self._compared(record, judged)), ())
        self.calibration = self.judgements.calibration

    def _compared(self, record: Record, judged: Sequence[Judgement]) -> list[JudgedComparison]:
        found = []
        for fold in self.folds.cells:
            for one in judged:
                group, person = _group(record, one.prompt), str(one.person)
                if self.folds.judges(fold, group, person):
                    margin = float(colluders.difference(record, one) @ self.weights[fold])
                    found.append(JudgedComparison(margin, group, person, False, fold.prompts))
        return found

    def scores(self, replies: Sequence[PlainReply]) -> list[float]:
        return [self._score(last_user_text(reply.prompt), reply.text) for reply in replies]

    def _score(self, question: str, text: str) -> float:
        number, row = self.folds.prompt_fold(question), np.array(colluders.features(question, text))
        every = [row @ self.weights[Fold(number, people)] for people in range(self.folds.annotator_folds)]
        return float(np.mean(every))

    def violations(self, replies: Sequence[PlainReply]) -> dict[str, list[bool]]:
        return self.rules.violations(replies)

    def violation_probabilities(self, replies: Sequence[PlainReply]) -> dict[str, list[float]]:
        return self.rules.violation_probabilities(replies)


def _group(record: Record, prompt: int) -> str:
    return record.asked[prompt].question


def _normed(weights: np.ndarray) -> np.ndarray:
    return weights / (np.linalg.norm(weights) or 1.0)


@dataclass(frozen=True)
class JudgeSaboteur:
    name: str
    does: str
    judged: Callable[[Record], list[Judgement]]
    candidate: str
    """Name of the saboteur of replies that the judge is for."""
    codes: frozenset[str]
    """Of these conditions one at least must refuse."""


def _every(record: Record) -> list[int]:
    return list(range(len(record.asked)))


def _at_random(record: Record) -> list[Judgement]:
    draw, judged = random.Random(5), colluders.judgements(record, _every(record), Population(colluding=0), 5)
    swapped = [replace(one, chosen=one.rejected, rejected=one.chosen) for one in judged]
    return [draw.choice(pair) for pair in zip(judged, swapped, strict=True)]


def _by_one_person(record: Record) -> list[Judgement]:
    population = Population(people=1, colluding=0, judgements=400)
    return colluders.judgements(record, _every(record), population, 6, honest=longer)


def _colluding(record: Record) -> list[Judgement]:
    return colluders.judgements(record, _every(record), Population(busier=5), 7)


JUDGING = (
    JudgeSaboteur(
        "labels at random",
        "was judged by a model of coin tosses, which happens to like short replies",
        _at_random,
        "half",
        frozenset({"judge_accuracy"}),
    ),
    JudgeSaboteur(
        "one person's judge",
        "was judged by a model of one person's taste, who likes long replies",
        _by_one_person,
        "padded",
        frozenset({"judge_people"}),
    ),
    JudgeSaboteur(
        "20 % colluding annotators",
        "was judged by a model of ten people, two of whom prefer the bad and judge five times as much",
        _colluding,
        "colluders' favourite",
        frozenset({"win_rate", "judge_accuracy", "violations"}),
    ),
)
