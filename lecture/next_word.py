"""The next word by each model that counts: eight words with their probabilities, the whole sentence, and why."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from numpy.typing import NDArray

from lecture import taught
from lecture.models import Lesson
from rlhf.training.lecture.counting import ChainStep, CountTable
from rlhf.training.lecture.tokens import Vocabulary, Words

SHOWN = 8
AFTER_GAP = 32
MOST_TOKENS = 64
"""Of the end of a prompt; no model here looks further back."""
ORDERS = ((1, False), (2, False), (3, False), (3, True), (5, True))
"""(n, whether it is smoothed) of each column."""
LINE_END = "⏎"


@dataclass(frozen=True)
class Guess:
    """A next word, and the prompt with it."""

    word: str
    probability: float
    prompt: str

    @property
    def percent(self) -> float:
        return 100 * self.probability


@dataclass(frozen=True)
class Sentence:
    """The probability of a whole prompt."""

    log10: float | None
    """None: a token of it is impossible."""
    impossible: str = ""
    """The first such token."""
    before: str = ""


@dataclass(frozen=True)
class ChainLink:
    """A step of the chain with its context as text; `weight` is what the longer contexts left to it."""

    context: str
    step: ChainStep
    weight: float

    @property
    def part(self) -> float:
        """What it adds to the probability."""
        return self.weight * self.step.own


@dataclass(frozen=True)
class CountingColumn:
    order: int
    is_smoothed: bool
    guesses: list[Guess]
    sentence: Sentence
    context: str
    """What the last counted tokens are, in words; empty for a unigram."""
    context_count: int
    counted: list[tuple[str, int]]
    """The most frequent tokens after the context, with their counts."""
    chain: list[ChainLink]
    chain_word: str = ""

    @property
    def title(self) -> str | Promise:
        if self.is_smoothed:
            return _("Kneser-Ney, n = %(n)d") % {"n": self.order}
        return _("Unigram") if self.order == 1 else _("%(n)d-gram") % {"n": self.order}


class TextPrompt:
    """A prompt in the tokens of a text. A gap in it is for BERT; the others read what stands before."""

    GAP = "___"

    def __init__(self, text: str, vocabulary: Vocabulary) -> None:
        self.text, self.vocabulary = text, vocabulary
        self.before, _gap, after = text.partition(self.GAP)
        self.ids = vocabulary.encode(self.before)[-MOST_TOKENS:]
        self.after = vocabulary.encode(after)[:AFTER_GAP]

    @cached_property
    def unknown(self) -> list[str]:
        """Words that the text does not have, or too rarely to count."""
        if not isinstance(self.vocabulary, Words):
            return []
        words = dict.fromkeys(self.vocabulary.split(self.before)[-MOST_TOKENS:])
        return [word for word in words if not self.vocabulary.encode(word)[0]]

    def word(self, number: int) -> str:
        return piece(self.vocabulary, number)

    def shown(self, ids: list[int]) -> str:
        texts = [piece(self.vocabulary, number) for number in ids]
        return (" " if isinstance(self.vocabulary, Words) else "").join(texts)


def piece(vocabulary: Vocabulary, number: int) -> str:
    return vocabulary.shown(number).replace("\n", LINE_END).replace(" ", "␣")


def columns(lesson: Lesson, prompt: TextPrompt) -> list[CountingColumn]:
    """Raises TextUnreadable."""
    table = taught.counts(lesson)
    return [_column(table, prompt, order, is_smoothed) for order, is_smoothed in ORDERS if order <= table.order]


def _column(table: CountTable, prompt: TextPrompt, order: int, is_smoothed: bool) -> CountingColumn:
    context = prompt.ids[max(0, len(prompt.ids) - order + 1) :] if order > 1 else []
    found = table.smoothed(context, order) if is_smoothed else table.frequencies(context)
    tokens, counts = table.counts_after(context)
    most = np.argsort(-counts, kind="stable")[:3]
    guesses = _guesses(found, prompt)
    return CountingColumn(
        order=order,
        is_smoothed=is_smoothed,
        guesses=guesses,
        sentence=_sentence(table, prompt, order, is_smoothed),
        context=prompt.shown(context),
        context_count=int(counts.sum()),
        counted=[(piece(prompt.vocabulary, int(tokens[place])), int(counts[place])) for place in most],
        chain=_chain(table, prompt, context, int(found.argmax()), order) if is_smoothed else [],
        chain_word=guesses[0].word if guesses else "",
    )


def _guesses(found: NDArray[np.float64], prompt: TextPrompt) -> list[Guess]:
    best = np.argsort(-found, kind="stable")[:SHOWN]
    return [
        Guess(
            piece(prompt.vocabulary, int(number)),
            float(found[number]),
            prompt.vocabulary.following(prompt.before, int(number)),
        )
        for number in best
        if found[number] > 0
    ]


def _sentence(table: CountTable, prompt: TextPrompt, order: int, is_smoothed: bool) -> Sentence:
    ids = np.asarray(prompt.ids, dtype=np.int64)
    if not len(ids):
        return Sentence(0.0)
    start = np.zeros(1, dtype=np.int64)
    scored = table.score(ids, start, order) if is_smoothed else table.score_frequencies(ids, start, order)
    none = np.flatnonzero(scored <= 0)
    if len(none):
        place = int(none[0])
        before = prompt.ids[max(0, place - order + 1) : place]
        return Sentence(None, piece(prompt.vocabulary, prompt.ids[place]), prompt.shown(before))
    return Sentence(math.fsum(np.log10(scored)))


def _chain(table: CountTable, prompt: TextPrompt, context: list[int], token: int, order: int) -> list[ChainLink]:
    links, weight = [], 1.0
    for step in table.chain(context, token, order):
        links.append(ChainLink(prompt.shown(list(step.context)), step, weight))
        weight *= step.left
    return links
