"""Measures policies by the hidden tastes themselves, on replies to held-out prompts, beside the original base."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist, fmean, pstdev, stdev

from chat import site_choices
from chat.completions.bulk import complete_each
from chat.models import Policy
from feedback import trainable
from feedback.judgements import completion_sets
from feedback.models import Prompt
from feedback.preferences import DEFAULT_FLAGS, preference, words_of
from feedback.prompts import as_served, last_user_message

Z95 = NormalDist().inv_cdf(0.975)
UNKNOWN = 99.0
"""Half an interval of one prompt, which tells nothing; JSON has no infinity."""


@dataclass(frozen=True)
class GoldFigures:
    """Of one policy. The base's reward is 0 and its wins are a half, by definition."""

    reward: float
    """Mean over people and replies, in standard deviations of the base's scores."""
    wins_against_base: float
    """Share of (person, prompt) where its reply is liked more than the base's; equal ones count half."""
    violations: float
    words: float
    empty: float

    def as_json(self) -> dict[str, float]:
        return {name: round(value, 4) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class GoldPrompts:
    """Held-out prompts and how they are answered: alike for every policy and in every cycle."""

    prompts: Sequence[Prompt]
    seed: int
    max_tokens: int | None

    @classmethod
    def choose(cls, most: int, *, seed: int, max_tokens: int | None) -> "GoldPrompts":
        held_out = trainable.prompts().filter(split=Prompt.Split.HELD_OUT, message=None).order_by("id")
        return cls(list(held_out[:most]), seed, max_tokens)

    def replies_of(self, policy: Policy) -> list[str]:
        sampling = completion_sets.parameters(self.seed, self.max_tokens)
        texts = [""] * len(self.prompts)
        system_prompt = site_choices.system_prompt_for(policy)
        turns = [as_served(prompt, system_prompt) for prompt in self.prompts]
        for index, made in complete_each(policy, turns, parameters=sampling):
            texts[index] = made[0].text
        return texts

    @property
    def questions(self) -> list[str]:
        return [last_user_message(prompt) for prompt in self.prompts]


def figures(
    questions: Sequence[str], texts: Sequence[str], base: Sequence[str], tastes: Sequence[str]
) -> GoldFigures:
    """`tastes`: one for each honest person."""
    rewards, wins = zip(*(_by_taste(questions, texts, base, taste) for taste in tastes), strict=True)
    return GoldFigures(
        reward=fmean(rewards),
        wins_against_base=fmean(wins),
        violations=fmean(_breaks_rule(*pair) for pair in zip(questions, texts, strict=True)),
        words=fmean(len(words_of(text)) for text in texts),
        empty=fmean(not text.strip() for text in texts),
    )


def changes(
    questions: Sequence[str], texts: Sequence[str], before: Sequence[str], base: Sequence[str], tastes: Sequence[str]
) -> dict[str, dict[str, float]]:
    """How much more reward and how many more wins against the base `texts` have than `before`: on the same prompts,
    with 95 % bounds over these."""
    sides = [[_each(questions, side, base, taste) for taste in tastes] for side in (texts, before)]
    found = {}
    for place, name in enumerate(("reward", "wins_against_base")):
        ours, theirs = ([fmean(column) for column in zip(*(t[place] for t in s), strict=True)] for s in sides)
        differences = [a - b for a, b in zip(ours, theirs, strict=True)]
        value = fmean(differences)
        half = Z95 * stdev(differences) / math.sqrt(len(differences)) if len(differences) > 1 else UNKNOWN
        found[name] = {"value": round(value, 4), "low": round(value - half, 4), "high": round(value + half, 4)}
    return found


def _by_taste(questions: Sequence[str], texts: Sequence[str], base: Sequence[str], taste: str) -> tuple[float, float]:
    """(reward, wins against the base) by one taste."""
    rewards, wins = _each(questions, texts, base, taste)
    return fmean(rewards), fmean(wins)


def _each(
    questions: Sequence[str], texts: Sequence[str], base: Sequence[str], taste: str
) -> tuple[list[float], list[float]]:
    """The same for each prompt."""
    like = preference(taste)
    own, other = ([like(*pair) for pair in zip(questions, side, strict=True)] for side in (texts, base))
    spread = pstdev(other) or 1.0
    won = [(a > b) + 0.5 * (a == b) for a, b in zip(own, other, strict=True)]
    return [(a - b) / spread for a, b in zip(own, other, strict=True)], won


def _breaks_rule(question: str, text: str) -> bool:
    return any(test(question, text) for test in DEFAULT_FLAGS.values())
