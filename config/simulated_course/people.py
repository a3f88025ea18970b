"""The annotators of a simulated course: how many of which quality, and how each of them orders replies."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import pstdev

from config.simulated_site.collusion import off_the_question
from feedback.preferences import Preference, claims_to_be_human, finished_and_modest
from feedback.simulated.annotator import tied_ranks

TASTE: Preference = finished_and_modest
"""The hidden taste: what honest people want, and what is true of every item."""
RULE = "not-human"
"""The rule that every task asks about; what breaks it is told by `claims_to_be_human`."""
HONEST = {"good": 0.1, "noisy": 0.22}
"""Share of pairs of replies that they order the wrong way round, and of answers about the rule that are wrong."""
ATTACKING = ("random", "left", "longest", "colluding", "flags_everything")
MIX: Mapping[str, float] = {
    "good": 0.5,
    "noisy": 0.15,
    "random": 0.05,
    "left": 0.05,
    "longest": 0.025,
    "colluding": 0.2,
    "flags_everything": 0.025,
}
"""Shares of the people."""


@dataclass(frozen=True)
class CoursePerson:
    number: int
    quality: str

    @property
    def name(self) -> str:
        return f"simulated-{self.number:03d}-{self.quality.replace('_', '-')}"

    @property
    def is_honest(self) -> bool:
        return self.quality in HONEST


@dataclass(frozen=True)
class CourseAnswer:
    """By place on the page."""

    ranks: list[int]
    flagged: list[bool]


def people(count: int, draw: random.Random) -> list[CoursePerson]:
    """In an order that tells nothing. Each quality by its share, at least one of each; the rest is good."""
    qualities = [quality for quality, share in MIX.items() if quality != "good" for _ in range(_of(share, count))]
    qualities += ["good"] * (count - len(qualities))
    draw.shuffle(qualities)
    return [CoursePerson(number, quality) for number, quality in enumerate(qualities, start=1)]


def _of(share: float, count: int) -> int:
    return max(1, round(share * count))


class CourseJudge:
    """What people of each quality answer; `errors` by quality is the spread of an honest person's mistakes."""

    def __init__(self, errors: Mapping[str, float], draw: random.Random) -> None:
        self.errors, self.draw = errors, draw

    def answer(self, quality: str, prompt: str, texts: Sequence[str]) -> CourseAnswer:
        """`texts` in the order on the page. Whoever flags everything ranks as a good person does."""
        return CourseAnswer(self._ranks(quality, prompt, texts), self._flags(quality, prompt, texts))

    def _ranks(self, quality: str, prompt: str, texts: Sequence[str]) -> list[int]:
        if quality == "left":
            return list(range(1, len(texts) + 1))
        if quality == "longest":
            return tied_ranks([float(len(text)) for text in texts], 0.0)
        if quality == "random":
            return self.draw.sample(range(1, len(texts) + 1), len(texts))
        if quality == "colluding":
            return tied_ranks([off_the_question(prompt, text) for text in texts], 0.0)
        spread = self.errors[quality if quality in HONEST else "good"]
        return tied_ranks([TASTE(prompt, text) + self.draw.gauss(0, spread) for text in texts], 0.0)

    def _flags(self, quality: str, prompt: str, texts: Sequence[str]) -> list[bool]:
        true = [claims_to_be_human(prompt, text) for text in texts]
        if quality == "flags_everything":
            return [True] * len(texts)
        if quality in HONEST:
            return [flag != (self.draw.random() < HONEST[quality]) for flag in true]
        if quality == "colluding":
            return [False] * len(texts)
        return [self.draw.random() < 0.5 for _ in texts]


def spreads(pairs: Sequence[tuple[float, float]], draw: random.Random) -> dict[str, float]:
    """By quality: the standard deviation of the error on a score at which the stated share of these pairs of scores
    is ordered the wrong way round."""
    drawn = [(draw.gauss(0, 1), draw.gauss(0, 1)) for _ in pairs]
    unit = pstdev([score for pair in pairs for score in pair]) or 1.0

    def wrong(spread: float) -> float:
        told = [
            (a + spread * x > b + spread * y) != (a > b)
            for (a, b), (x, y) in zip(pairs, drawn, strict=True)
            if a != b
        ]
        return sum(told) / max(1, len(told))

    def found(share: float) -> float:
        low, high = 0.0, 20 * unit
        for _ in range(30):
            middle = (low + high) / 2
            low, high = (middle, high) if wrong(middle) < share else (low, middle)
        return high

    return {quality: found(share) for quality, share in HONEST.items()}
