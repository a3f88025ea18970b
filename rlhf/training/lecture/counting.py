"""Language models that count: n-grams by frequency, and interpolated Kneser-Ney smoothing over the same counts.

Kneser and Ney 1995; modified discounts of Chen and Goodman 1999, section 3.4. An n-gram has the number of its entry
in the sorted keys of its level; its key is the number of its first n - 1 tokens times the vocabulary's size, plus its
last token. So levels of any order fit into 64 bits, and everything is sorting and searching in numpy.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
ORDER = 5
PLAIN = 0.75
"""The discount where a text is too small to estimate one: Chen and Goodman's absolute discounting."""


@dataclass(frozen=True)
class ContextWeights:
    """Of each context: what its counts sum to, and what share their discounts leave to the shorter context."""

    discounts: tuple[float, float, float]
    """Of n-grams counted once, twice, three times or more."""
    totals: Ints
    left: Floats

    def discounted(self, counts: Ints) -> Floats:
        """(entries,)"""
        discounted: Floats = counts - np.asarray((0.0, *self.discounts))[np.minimum(counts, 3)]
        return discounted


@dataclass(frozen=True)
class Level:
    """All n-grams of one n, sorted by key."""

    keys: Ints
    counts: Ints
    """How often each occurs."""
    continuations: Ints
    """After how many different tokens each occurs."""
    size: int
    """Of the vocabulary."""
    contexts: int
    """Entries of the level below; of the first level 1."""

    @cached_property
    def bounds(self) -> Ints:
        """(contexts + 1,): the entries of context c are those from bounds[c] to bounds[c + 1]."""
        return np.searchsorted(self.keys, np.arange(self.contexts + 1, dtype=np.int64) * self.size)

    @cached_property
    def by_count(self) -> ContextWeights:
        return _weights(self.counts, self.bounds)

    @cached_property
    def by_continuation(self) -> ContextWeights:
        return _weights(self.continuations, self.bounds)

    def find(self, contexts: Ints, tokens: Ints) -> Ints:
        """Numbers of n-grams, -1 where they do not occur; a context of -1 has none."""
        if not len(self.keys):  # of a text that is shorter than n
            return np.full(len(tokens), -1)
        wanted = contexts * self.size + tokens
        place = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return np.where((contexts >= 0) & (self.keys[place] == wanted), place, -1)


@dataclass(frozen=True)
class ChainStep:
    """One link of the chain abc, bc, c of a probability: counted after this context, and passed on to the shorter."""

    context: tuple[int, ...]
    count: int
    total: int
    own: float
    """The discounted count over the total."""
    left: float
    """Weight of the shorter context's probability."""


class NoSuchLength(ValueError):
    """An n-gram model of an order that was not counted."""


class CountTable:
    """Counts of all n-grams of a text up to some order."""

    def __init__(self, levels: Sequence[Level], size: int) -> None:
        self.levels, self.size = list(levels), size

    @property
    def order(self) -> int:
        return len(self.levels)

    def entries(self, order: int) -> int:
        return sum(len(level.keys) for level in self.levels[:order])

    def arrays(self) -> dict[str, NDArray[Any]]:
        named: dict[str, NDArray[Any]] = {"size": np.asarray([self.size], dtype=np.int64)}
        for n, level in enumerate(self.levels, start=1):
            named |= {f"{n}.keys": level.keys, f"{n}.counts": level.counts, f"{n}.continuations": level.continuations}
        return named

    @classmethod
    def from_arrays(cls, named: dict[str, NDArray[Any]]) -> "CountTable":
        size, contexts = int(named["size"][0]), 1
        levels: list[Level] = []
        while f"{len(levels) + 1}.keys" in named:
            keys, counts, after = (named[f"{len(levels) + 1}.{part}"] for part in ("keys", "counts", "continuations"))
            levels.append(Level(keys, counts, after, size, contexts))
            contexts = len(keys)
        return cls(levels, size)

    # --- one context ----------------------------------------------------------------------------------------------

    def number(self, tokens: Sequence[int]) -> int:
        """Of the n-gram of these tokens; -1 where it does not occur."""
        found = 0
        for level, token in zip(self.levels, tokens, strict=False):
            found = int(level.find(np.asarray([found]), np.asarray([token]))[0])
        return found if len(tokens) <= self.order else -1

    def counts_after(self, context: Sequence[int]) -> tuple[Ints, Ints]:
        """The tokens that occur after a context, and how often."""
        level, entries = self._entries(context)
        return level.keys[entries] % self.size, level.counts[entries]

    def frequencies(self, context: Sequence[int]) -> Floats:
        """(vocabulary,): by counting alone; all zeros where the context does not occur."""
        tokens, counts = self.counts_after(context)
        table = np.zeros(self.size)
        table[tokens] = counts / max(1, counts.sum())
        return table

    def smoothed(self, context: Sequence[int], order: int) -> Floats:
        """(vocabulary,): interpolated Kneser-Ney; sums to 1. Raises NoSuchLength."""
        table = np.full(self.size, 1 / self.size)
        for part in self._contexts(context, order):
            level, entries = self._entries(part)
            counts, weights = _used(level, is_highest=len(part) == order - 1)
            number = self.number(part)
            if number < 0 or not weights.totals[number]:
                break
            table = table * weights.left[number]
            own = weights.discounted(counts[entries]) / weights.totals[number]
            table[level.keys[entries] % self.size] += own
        return table

    def chain(self, context: Sequence[int], token: int, order: int) -> list[ChainStep]:
        """How `smoothed` comes to the probability of one token, the longest context first. Raises NoSuchLength."""
        steps = []
        for part in self._contexts(context, order):
            level, number = self.levels[len(part)], self.number(part)
            counts, weights = _used(level, is_highest=len(part) == order - 1)
            if number < 0 or not weights.totals[number]:
                break
            entry = int(level.find(np.asarray([number]), np.asarray([token]))[0])
            count = int(counts[entry]) if entry >= 0 else 0
            total, own = int(weights.totals[number]), float(weights.discounted(np.asarray([count]))[0])
            steps.append(ChainStep(tuple(part), count, total, own / total, float(weights.left[number])))
        return steps[::-1]

    def _contexts(self, context: Sequence[int], order: int) -> Iterator[Sequence[int]]:
        """From none to the last order - 1 tokens."""
        if not 1 <= order <= self.order:
            raise NoSuchLength(f"order {order} of {self.order}")
        for length in range(min(order - 1, len(context)) + 1):
            yield context[len(context) - length :]

    def _entries(self, context: Sequence[int]) -> tuple[Level, slice]:
        level, number = self.levels[len(context)], self.number(context)
        if number < 0:
            return level, slice(0, 0)
        return level, slice(int(level.bounds[number]), int(level.bounds[number + 1]))

    # --- a whole text ---------------------------------------------------------------------------------------------

    def score_frequencies(self, tokens: Ints, starts: Ints, order: int) -> Floats:
        """(tokens,): the probability of each after those before it in its block, by counting alone."""
        scored = np.zeros(len(tokens))
        for length, entry, context in self._grams(tokens, starts, order):
            known = context >= 0
            total = _of(self.levels[length - 1].by_count.totals, context)
            count = _of(self.levels[length - 1].counts, entry)
            longest = known if length == 1 else _places(tokens, starts) >= length - 1
            scored = np.where(longest, np.where(known, count / np.maximum(total, 1), 0.0), scored)
        return scored

    def score(self, tokens: Ints, starts: Ints, order: int) -> Floats:
        """(tokens,): the probability of each by interpolated Kneser-Ney. Raises NoSuchLength."""
        if not 1 <= order <= self.order:
            raise NoSuchLength(f"order {order} of {self.order}")
        scored = np.full(len(tokens), 1 / self.size)
        for length, entry, context in self._grams(tokens, starts, order):
            counts, weights = _used(self.levels[length - 1], is_highest=length == order)
            total, count = _of(weights.totals, context), _of(counts, entry)
            mixed = weights.discounted(count) / np.maximum(total, 1) + _of(weights.left, context) * scored
            scored = np.where(total > 0, mixed, scored)
        return scored

    def _grams(self, tokens: Ints, starts: Ints, order: int) -> Iterator[tuple[int, Ints, Ints]]:
        """For each n up to the order: of the n-gram that ends at each token its number, and that of its context; -1
        where it does not occur or would begin in another block."""
        before, place = np.zeros(len(tokens), dtype=np.int64), _places(tokens, starts)
        for length, level in enumerate(self.levels[:order], start=1):
            context = before
            entry = level.find(context, tokens)
            yield length, entry, context
            shifted = np.concatenate([np.full(1, -1, dtype=np.int64), entry[:-1]])
            before = np.where(place >= length, shifted, -1)


def count(tokens: Ints, starts: Ints, size: int, order: int = ORDER) -> CountTable:
    """Counts the n-grams within the blocks that begin at `starts`."""
    place = _places(tokens, starts)
    found: list[tuple[Ints, Ints, Ints]] = []
    number, contexts = np.zeros(len(tokens), dtype=np.int64), 1
    levels: list[Level] = []
    for length in range(1, order + 1):
        is_whole = place >= length - 1
        keys, counts = np.unique((number * size + tokens)[is_whole], return_counts=True)
        levels.append(Level(keys, counts.astype(np.int64), np.zeros_like(keys), size, contexts))
        entry = np.where(is_whole, np.searchsorted(keys, number * size + tokens), -1)
        found.append((entry, keys, counts))
        number, contexts = np.concatenate([np.zeros(1, dtype=np.int64), entry[:-1]]), len(keys)
    return CountTable([*_with_continuations(levels, [entry for entry, _, _ in found])], size)


def _with_continuations(levels: Sequence[Level], entries: Sequence[Ints]) -> Iterator[Level]:
    """Each (n + 1)-gram is one token more that its last n tokens occur after. The highest level needs none."""
    for (level, entry), (above, longer) in pairwise(zip(levels, entries, strict=True)):
        one_of_each = np.zeros(len(above.keys), dtype=np.int64)
        is_there = longer >= 0
        one_of_each[longer[is_there]] = entry[is_there]
        after = np.bincount(one_of_each, minlength=len(level.keys)).astype(np.int64)
        yield Level(level.keys, level.counts, after, level.size, level.contexts)
    yield levels[-1]


def _places(tokens: Ints, starts: Ints) -> Ints:
    """Of each token its place in its block."""
    lengths = np.diff(np.append(starts, len(tokens)))
    return np.arange(len(tokens)) - np.repeat(starts, lengths)


def _of(values: NDArray[Any], numbers: Ints) -> NDArray[Any]:
    """Each number's value; 0 of those that are -1."""
    found: NDArray[Any] = np.append(values, values.dtype.type(0))[numbers]
    return found


def _used(level: Level, *, is_highest: bool) -> tuple[Ints, ContextWeights]:
    return (level.counts, level.by_count) if is_highest else (level.continuations, level.by_continuation)


def _weights(counts: Ints, bounds: Ints) -> ContextWeights:
    discounts = discounts_of(counts)
    totals = _sums(counts, bounds)
    taken = np.asarray((0.0, *discounts))[np.minimum(counts, 3)]
    left = np.where(totals > 0, _sums(taken, bounds) / np.maximum(totals, 1), 1.0)
    return ContextWeights(discounts, totals, left)


def _sums(values: NDArray[Any], bounds: Ints) -> NDArray[Any]:
    """Of the entries of each context."""
    summed = np.concatenate([np.zeros(1, dtype=values.dtype), np.cumsum(values)])
    of_each: NDArray[Any] = summed[bounds[1:]] - summed[bounds[:-1]]
    return of_each


def discounts_of(counts: Ints) -> tuple[float, float, float]:
    """Chen and Goodman's three, from how many n-grams occur once to four times; where one of these does not exist,
    Kneser and Ney's single one, and in the smallest texts a constant."""
    once, twice, thrice, four = (int(np.count_nonzero(counts == n)) for n in (1, 2, 3, 4))
    if not once or not twice:
        return PLAIN, PLAIN, PLAIN
    share = once / (once + 2 * twice)
    modified = 1 - 2 * share * twice / once, 2 - 3 * share * thrice / twice
    third = 3 - 4 * share * four / thrice if thrice and four else 0.0
    if third <= 0 or modified[1] <= 0 or modified[0] <= 0:
        return share, share, share
    return (*modified, third)
