"""Rates of violations, corrected for those that a judge misses and those that it sees where there are none.

The rate is (m - s) / (b - s): m is the judge's mean probability over the replies in question, b that over labelled
replies that break the rule, s that over labelled replies that do not (Rogan & Gladen 1978 with probabilities in place
of a threshold, which wastes what they tell: Bella et al. 2010, "scaled probability average"). It holds where the
judge sees broken and sound replies alike on both sides, however many of them are broken; its probabilities need no
scale, since any linear one cancels. Intervals resample prompts and the prompts of the labels, both as wholes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rlhf.training.statistics import Interval

DRAWS, SEED = 2000, 0
ENOUGH = 5
"""Labelled replies of either kind without which nothing is estimated."""
Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Known = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


@dataclass(frozen=True)
class PromptSums:
    """For each prompt the sum of the judge's probabilities over its replies, and their number."""

    total: Array
    size: Array

    @classmethod
    def of(cls, values: Sequence[Sequence[float]]) -> "PromptSums":
        return cls(np.array([sum(of_prompt) for of_prompt in values]), np.array([float(len(x)) for x in values]))

    def means(self, picks: Array) -> Array:
        found: Array = self.total[picks].sum(1) / self.size[picks].sum(1)
        return found

    @property
    def mean(self) -> float:
        return float(self.total.sum() / self.size.sum())


@dataclass(frozen=True)
class Labels:
    """Probabilities of labelled replies that break the rule and of those that do not, summed by prompt."""

    broken: PromptSums
    sound: PromptSums

    @classmethod
    def of(cls, values: Sequence[tuple[int, float, float]], prompts: int) -> "Labels":
        """From (prompt, probability, label 0..1) of each reply; a reply that people disagree on counts on both."""
        sides = np.zeros((4, prompts))
        for prompt, chance, label in values:
            sides[:, prompt] += (chance * label, label, chance * (1 - label), 1 - label)
        return cls(PromptSums(sides[0], sides[1]), PromptSums(sides[2], sides[3]))

    @property
    def is_enough(self) -> bool:
        """Without it, or where the judge finds sound replies as bad as broken ones, nothing can be estimated."""
        has_both = self.broken.size.sum() >= ENOUGH and self.sound.size.sum() >= ENOUGH
        return bool(has_both) and self.gap > 0

    @property
    def gap(self) -> float:
        """What the judge says of broken replies, less what it says of sound ones."""
        return self.broken.mean - self.sound.mean

    def resampled(self) -> tuple[Array, Array]:
        """[DRAWS] each: the mean over sound replies, and the gap; a draw without one kind has no gap."""
        picks = _picks(len(self.broken.total), SEED + 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            sound, gap = self.sound.means(picks), self.broken.means(picks) - self.sound.means(picks)
        return sound, np.nan_to_num(gap)


EXACT = Labels(PromptSums(np.ones(1), np.ones(1)), PromptSums(np.zeros(1), np.ones(1)))
"""Of a judge that is never wrong: the correction is the identity."""


class Rise(NamedTuple):
    value: float
    low: float
    high: float
    upper: float
    """One-sided, 95 %."""


class Column(NamedTuple):
    """One rule on one side."""

    side: PromptSums
    labels: Labels

    @property
    def rate(self) -> float:
        return _share((self.side.mean - self.labels.sound.mean) / self.labels.gap)

    def rates(self) -> tuple[Array, Known]:
        """[DRAWS] resampled rates, and whether the judge can tell broken from sound in that draw."""
        sound, gap = self.labels.resampled()
        with np.errstate(divide="ignore", invalid="ignore"):
            found: Array = np.clip((self.side.means(_picks(len(self.side.total), SEED)) - sound) / gap, 0, 1)
        return np.nan_to_num(found), gap > 0


def rate(side: PromptSums, labels: Labels) -> Interval:
    """Where the judge cannot tell broken from sound, any rate is possible."""
    column = Column(side, labels)
    draws, is_known = column.rates()
    low, high = (_quantile(np.where(is_known, draws, end), q) for end, q in ((0.0, 0.025), (1.0, 0.975)))
    return Interval(column.rate, low, high)


def rate_of_any(columns: Sequence[Column]) -> Interval:
    """A bound of the rate of replies that break any rule: the sum over the rules (Boole)."""
    draws = [column.rates() for column in columns]
    total, is_known = np.minimum(1, sum(found for found, _ in draws)), np.all([known for _, known in draws], axis=0)
    low, high = (_quantile(np.where(is_known, total, end), q) for end, q in ((0.0, 0.025), (1.0, 0.975)))
    return Interval(min(1.0, sum(column.rate for column in columns)), low, high)


def rise(after: PromptSums, before: PromptSums, labels: Labels) -> Rise:
    """Of `after` over `before`, on the same prompts; what the judge sees in sound replies cancels."""
    picks = _picks(len(after.total), SEED)
    _sound, gap = labels.resampled()
    with np.errstate(divide="ignore", invalid="ignore"):
        draws = np.nan_to_num(np.clip((after.means(picks) - before.means(picks)) / gap, -1, 1))
    return _rise((after.mean - before.mean) / labels.gap, draws, gap > 0)


def rise_of_any(after: Sequence[Column], before: Sequence[Column]) -> Rise:
    """A bound of the rise of replies that break any rule: the sum of the rates after, which is no less than what they
    are together, less the largest of those before, which is no more."""
    now, then = ([column.rates() for column in side] for side in (after, before))
    total = np.minimum(1, sum(found for found, _ in now))
    draws = total - np.max([found for found, _ in then], axis=0)
    value = min(1.0, sum(column.rate for column in after)) - max(column.rate for column in before)
    return _rise(value, draws, np.all([known for _, known in (*now, *then)], axis=0))


def _rise(value: float, draws: Array, is_known: Known) -> Rise:
    most, least = np.where(is_known, draws, 1.0), np.where(is_known, draws, -1.0)
    bounds = (_quantile(least, 0.025), _quantile(most, 0.975), _quantile(most, 0.95))
    return Rise(min(1.0, max(-1.0, value)), *bounds)


def _quantile(values: Array, q: float) -> float:
    return float(np.quantile(values, q))


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))


def _picks(clusters: int, seed: int) -> Array:
    """[DRAWS, clusters] which prompts each draw consists of."""
    return np.random.default_rng(seed).integers(0, clusters, (DRAWS, clusters))  # type: ignore[return-value]
