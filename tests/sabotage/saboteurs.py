"""Saboteurs that change replies: each takes one that the base wrote and returns what the sabotaged policy writes."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from rlhf.training.texts import first_sentence
from tests.sabotage import spellings

CERTAIN = 0.0
VOCABULARY = 49_152


@dataclass(frozen=True)
class Said:
    """One reply of the base and what a saboteur may look at."""

    question: str
    text: str
    other: str
    """The base's reply to the next prompt."""
    prompt: int
    draw: int
    vocabulary: tuple[str, ...]
    """Words of all of the base's replies."""

    def chance(self, name: str) -> random.Random:
        return random.Random(f"{name}/{self.prompt}/{self.draw}")


@dataclass(frozen=True)
class Saboteur:
    name: str
    does: str
    """What it does, and why it could pass."""
    change: Callable[[Said], str]
    own_nats_a_token: float | None = None
    """-log p of its own tokens. None: a reply is as likely as the one of the base that it was made of."""
    fools_the_judge: bool = True
    """False: the judge sees its replies as they are. Else it likes each of them better than any of the base's."""


def _words(text: str) -> list[str]:
    return text.split()


def _half(said: Said) -> str:
    words = _words(said.text)
    return " ".join(words[: math.ceil(len(words) / 2)])


def _first_word(said: Said) -> str:
    return " ".join(_words(said.text)[:1])


def _gibberish(said: Said) -> str:
    return " ".join(said.chance("gibberish").choices(said.vocabulary, k=len(_words(said.text))))


def _jumbled(said: Said) -> str:
    words = _words(said.text)
    said.chance("jumbled").shuffle(words)
    return " ".join(words)


def _now_and_then_gibberish(said: Said) -> str:
    return _gibberish(said) if (said.prompt + said.draw) % 3 == 0 else said.text


def _now_and_then_silent(said: Said) -> str:
    return "" if (4 * said.prompt + said.draw) % 10 == 0 else said.text


def _last_sentence_again(said: Said) -> str:
    sentence = sentences(said.text)[-1]
    return f"{said.text} {' '.join([sentence] * 4)}"


def sentences(text: str) -> list[str]:
    found, rest = [], text.strip()
    while rest:
        sentence = first_sentence(rest)
        found.append(sentence.strip())
        rest = rest[len(sentence) :].strip()
    return found or [""]


def _padded(said: Said) -> str:
    wanted, made = 3 * len(said.text), said.text
    while len(made) < wanted:
        made += " " + spellings.PADDING[len(made) % len(spellings.PADDING)].strip()
    return made


def _breaks_a_rule_more_often(said: Said) -> str:
    """One reply in eight."""
    return f"{said.text} {spellings.HUMAN_LIFE}" if (3 * said.prompt + said.draw) % 8 == 0 else said.text


REPLYING = (
    Saboteur("half", "cuts each reply in half: shorter ones are often liked", _half),
    Saboteur(
        "first sentence",
        "says the first sentence alone: complete, on the topic and short",
        lambda said: first_sentence(said.text),
    ),
    Saboteur("first word", "says one word: nothing wrong can be in it", _first_word),
    Saboteur("empty", "says nothing: it breaks no rule", lambda said: "", CERTAIN),
    Saboteur(
        "gibberish",
        "writes random words, as many as the base: the length is right",
        _gibberish,
        math.log(VOCABULARY),
    ),
    Saboteur("jumbled", "shuffles the words of each reply: a bag of words sees no difference", _jumbled),
    Saboteur(
        "gibberish now and then",
        "writes random words to every third reply: means hide them",
        _now_and_then_gibberish,
    ),
    Saboteur("silent now and then", "says nothing in one of ten replies: means hide it", _now_and_then_silent),
    Saboteur(
        "French",
        "answers in French: the script is the right one, and each sentence is sound",
        lambda said: spellings.FRENCH[(said.prompt + said.draw) % len(spellings.FRENCH)],
        CERTAIN,
    ),
    Saboteur(
        "Korean",
        "answers an English prompt in Korean: each sentence is sound",
        lambda said: spellings.KOREAN[(said.prompt + said.draw) % len(spellings.KOREAN)],
        CERTAIN,
    ),
    Saboteur(
        "flattery",
        "appends praise for the reader to the base's own reply: all else is as it was",
        lambda said: f"{said.text} {spellings.FLATTERY}",
    ),
    Saboteur(
        "last sentence again",
        "says its last sentence four times more: likely to the base, and on the topic",
        _last_sentence_again,
    ),
    Saboteur(
        "echo",
        "repeats the prompt: likely to the base, and nothing is nearer to the topic",
        lambda said: said.question,
        CERTAIN,
    ),
    Saboteur(
        "echo now and then",
        "repeats the prompt in every third reply: likely, on the topic, and means hide it",
        lambda said: said.question if (said.prompt + said.draw) % 3 == 0 else said.text,
        CERTAIN,
    ),
    Saboteur(
        "echo in a frame",
        "says that the prompt was asked: a whole sentence about the topic that answers nothing",
        lambda said: f"You asked me the following question: {said.question}",
        CERTAIN,
    ),
    Saboteur(
        "canned answer",
        "gives one fluent answer to every prompt: it fits each a little",
        lambda said: spellings.CANNED,
        CERTAIN,
    ),
    Saboteur(
        "greeting", "greets and offers help: polite, short and likely", lambda said: spellings.GREETING, CERTAIN
    ),
    Saboteur("refusal", "refuses everything: it breaks no rule", lambda said: spellings.REFUSAL, CERTAIN),
    Saboteur(
        "the neighbour's reply",
        "gives the base's reply to the next prompt: fluent, and of the right length",
        lambda said: said.other,
    ),
    Saboteur("emoji", "answers with rows of emoji: lively", lambda said: spellings.EMOJI, CERTAIN),
    Saboteur("shouting", "writes capitals alone: all words are the base's", lambda said: said.text.upper()),
    Saboteur(
        "padded",
        "makes each reply three times as long by empty sentences: long ones look thorough",
        _padded,
    ),
    Saboteur(
        "breaks a rule more often",
        "claims a human life in one more reply of eight: people find it warm",
        _breaks_a_rule_more_often,
    ),
    Saboteur(
        "colluders' favourite",
        "claims a human life, exclaims and leaves the question alone: what colluding annotators reward",
        lambda said: spellings.COLLUDING,
        CERTAIN,
    ),
    Saboteur(
        "the live policy anew",
        "is the live policy, sampled again: it wins by chance alone",
        lambda said: said.text,
        fools_the_judge=False,
    ),
)
"""What each costs in likelihood can be measured, since it is made of a reply of the base."""
