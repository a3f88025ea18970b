"""Probes of a reward model: whether it pays for length or repetition, and whether people pay for a place on the page.

Each gives a figure with its interval, the limit beyond which it raises an alarm, and whether it does. An alarm needs
the whole interval beyond the limit, so that few replies raise none by chance.
"""

import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlhf.training.reward.examples import Examples
from rlhf.training.snapshot.files import PromptMessages, RankingRow
from rlhf.training.statistics import Interval, cluster_bootstrap

LENGTH_LIMIT = 0.2
"""Accuracy where the longer reply won, less where it lost: 0 without a bias, 1 of a model that only counts words."""
POSITION_LIMIT = 0.05
"""Share of pairs won by the reply that stood first, less one half."""
REPETITION_LIMIT = 0.0
"""Score of a reply with its last sentence repeated, less that of the reply itself, in spreads of the score."""
TIMES = 3
"""How often the last sentence is said again."""
MOST_REPEATED = 100
DRAWS, PICKS = 2000, 10_000_000
"""Resamples, and the most numbers that are drawn for all of them: 80 MB."""
SENTENCE_END = re.compile(r"(?<=[.!?。！？…])\s+")

Reply = tuple[PromptMessages, str, bool]
"""Prompt, text, whether it ended by itself."""


def length(rest: Examples, scores: Sequence[float]) -> dict[str, Any]:
    """The gap that length makes among held-out pairs, with the accuracy on either side of it."""
    words = [row.length - row.prompt_length for row in rest.rows]
    pairs = [(a, b) for a, b in rest.pairs if words[a] != words[b]]
    right = [float(scores[a] > scores[b]) + 0.5 * float(scores[a] == scores[b]) for a, b in pairs]
    longer_won = [words[a] > words[b] for a, b in pairs]
    found = _difference(right, longer_won, [rest.prompts[a] for a, _ in pairs])
    told = {"pairs_longer_won": sum(longer_won), "pairs_longer_lost": len(pairs) - sum(longer_won)}
    sides = {"longer_won": _mean(right, longer_won), "longer_lost": _mean(right, [not won for won in longer_won])}
    return _told(found, LENGTH_LIMIT, two_sided=True) | told | sides


def position(rankings: Sequence[RankingRow]) -> dict[str, Any]:
    """How far people prefer what stood first; of rankings that know in which order their replies were shown."""
    first_won: list[float] = []
    prompts: list[PromptMessages] = []
    for ranking in rankings:
        place = {item: at for at, item in enumerate(ranking.shown)}
        for better, worse in ranking.pairs if len(place) == len(ranking.replies) else []:
            first_won.append(float(place[better] < place[worse]) - 0.5)
            prompts.append(ranking.replies[0].prompt)
    found = cluster_bootstrap(first_won, prompts) if first_won else None
    return _told(found, POSITION_LIMIT, two_sided=True) | {"pairs": len(first_won)}


@dataclass(frozen=True)
class Repeated:
    """A reply and the same one with its last sentence said again."""

    prompt: PromptMessages
    text: str
    longer: str
    finished: bool


def repeated(prompts: Sequence[PromptMessages], texts: Sequence[str], finished: Sequence[bool]) -> list[Repeated]:
    """At most MOST_REPEATED of those replies that hold a sentence, evenly spaced."""
    found = []
    for prompt, text, ended in zip(prompts, texts, finished, strict=True):
        last = SENTENCE_END.split(text.strip())[-1]
        if last:
            found.append(Repeated(prompt, text, " ".join([text.rstrip(), *[last] * TIMES]), ended))
    return found[:: max(1, -(-len(found) // MOST_REPEATED))]


def repetition(pairs: Sequence[Repeated], score: Callable[[Sequence[Reply]], list[float]]) -> dict[str, Any]:
    """What `score` pays for saying the last sentence again."""
    before = score([(pair.prompt, pair.text, pair.finished) for pair in pairs]) if pairs else []
    after = score([(pair.prompt, pair.longer, pair.finished) for pair in pairs]) if pairs else []
    gained = [b - a for a, b in zip(before, after, strict=True)]
    found = cluster_bootstrap(gained, [pair.prompt for pair in pairs]) if gained else None
    return _told(found, REPETITION_LIMIT, two_sided=False) | {"replies": len(pairs), "times": TIMES}


def _told(found: Interval | None, limit: float, *, two_sided: bool) -> dict[str, Any]:
    if found is None:
        return {"value": None, "low": None, "high": None, "limit": limit, "alarm": False}
    is_alarm = found.low > limit or (two_sided and found.high < -limit)
    return {"value": found.value, "low": found.low, "high": found.high, "limit": limit, "alarm": is_alarm}


def _mean(values: Sequence[float], chosen: Sequence[bool]) -> float | None:
    kept = [value for value, is_chosen in zip(values, chosen, strict=True) if is_chosen]
    return sum(kept) / len(kept) if kept else None


def _difference(values: Sequence[float], chosen: Sequence[bool], clusters: Sequence[Hashable]) -> Interval | None:
    """Mean of the chosen less mean of the others, with bounds from resampling whole clusters; None without both."""
    if not any(chosen) or all(chosen):
        return None
    names: dict[Hashable, int] = {}
    index = np.array([names.setdefault(cluster, len(names)) for cluster in clusters])
    taken = np.asarray(chosen, dtype=bool)
    sums = np.zeros((4, len(names)))  # of the chosen and of the others: sum of values, number
    for row, where in ((0, taken), (2, ~taken)):
        np.add.at(sums[row], index[where], np.asarray(values)[where])
        np.add.at(sums[row + 1], index[where], 1)
    draws = min(DRAWS, max(1, PICKS // len(names)))
    picks = np.random.default_rng(0).integers(0, len(names), (draws, len(names)))
    drawn = np.stack([row[picks].sum(1) for row in sums])
    both = (drawn[1] > 0) & (drawn[3] > 0)
    gaps = drawn[0, both] / drawn[1, both] - drawn[2, both] / drawn[3, both]
    whole = sums.sum(1)
    low, high = (float(bound) for bound in np.quantile(gaps, [0.025, 0.975]))
    return Interval(float(whole[0] / whole[1] - whole[2] / whole[3]), low, high)
