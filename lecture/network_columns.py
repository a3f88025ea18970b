"""The next word by each network that was taught the text: eight words, the whole sentence, and what it looked at."""

import math
from dataclasses import dataclass

import numpy as np
from django.utils.functional import Promise
from numpy.typing import NDArray

from lecture import taught, titles
from lecture.models import Lesson
from lecture.next_word import SHOWN, Guess, TextPrompt, piece
from lecture.teaching import NETWORKS
from rlhf.training.lecture.answering import NetworkAnswer, TaughtNetwork

UNITS = 24
"""Of the state, as many as a strip shows."""
LOOKS = 4
"""Words that the last place looks at most."""


@dataclass(frozen=True)
class StripCell:
    """One unit of a state: how large, from 0 to 1, and of which sign."""

    size: float
    is_positive: bool


@dataclass(frozen=True)
class NetworkColumn:
    family: str
    guesses: list[Guess]
    log10: float | None
    """Of the whole sentence; None of BERT, which tells no such probability."""
    strip: list[tuple[str, list[StripCell]]]
    """Each word with the state after it."""
    looks: list[tuple[str, float]]
    """Words that the last place attends to, with their share, the mean over the heads of the last block."""

    @property
    def title(self) -> str | Promise:
        return titles.FAMILIES[self.family]

    @property
    def has_gap(self) -> bool:
        return self.family == "bert"


def network_columns(lesson: Lesson, prompt: TextPrompt) -> list[NetworkColumn]:
    """Raises TextUnreadable."""
    return [_column(lesson, family, prompt) for family in NETWORKS if family in lesson.taught_by]


def _column(lesson: Lesson, family: str, prompt: TextPrompt) -> NetworkColumn:
    network, ids = taught.network(lesson, family), list(prompt.ids)
    if family == "bert":
        return _gap_column(network, prompt)
    answer = network.answer(ids)
    known = range(max(0, len(ids) + 1 - len(answer.logprobs)), len(ids))
    told = [float(answer.logprobs[place - len(ids) - 1, ids[place]]) for place in known]
    return NetworkColumn(
        family=family,
        guesses=_guesses(answer.logprobs[-1], prompt),
        log10=math.fsum(told) / math.log(10),
        strip=_strip(answer, prompt),
        looks=_looks(answer, ["", *map(prompt.word, ids)], -1),
    )


def _gap_column(network: TaughtNetwork, prompt: TextPrompt) -> NetworkColumn:
    """BERT fills the gap of the prompt, else one at its end."""
    ids = [*prompt.ids, network.mask, *prompt.after]
    answer = network.answer(ids)
    place = len(prompt.ids) - (len(ids) - len(answer.logprobs))
    words = [*map(prompt.word, prompt.ids), prompt.GAP, *map(prompt.word, prompt.after)]
    found = answer.logprobs[place, : network.mask]
    return NetworkColumn("bert", _guesses(found, prompt), None, [], _looks(answer, words, place))


def _guesses(logprobs: NDArray[np.floating], prompt: TextPrompt) -> list[Guess]:
    best = np.argsort(-logprobs, kind="stable")[:SHOWN]
    vocabulary = prompt.vocabulary
    return [
        Guess(piece(vocabulary, int(n)), math.exp(logprobs[n]), vocabulary.following(prompt.before, int(n)))
        for n in best
    ]


def _strip(answer: NetworkAnswer, prompt: TextPrompt) -> list[tuple[str, list[StripCell]]]:
    """Of the last words; the units are always the same."""
    shown = list(zip(map(prompt.word, prompt.ids), answer.states[1:, :UNITS], strict=False))[-LOOKS * 2 :]
    return [(word, [StripCell(min(1.0, abs(float(x))), bool(x > 0)) for x in state]) for word, state in shown]


def _looks(answer: NetworkAnswer, words: list[str], place: int) -> list[tuple[str, float]]:
    if not answer.attention.size:
        return []
    shares = answer.attention.mean(0)[place]
    named = list(zip(words[-len(shares) :], map(float, shares), strict=True))
    return sorted(((word, share) for word, share in named if word), key=lambda look: -look[1])[:LOOKS]
