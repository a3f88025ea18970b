"""The plan of a simulation, its cases with their judgements, and the tally of the result."""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chat.completions.bulk import Completed
from feedback.judgements import completion_sets, rankings
from feedback.models import Prompt
from feedback.preferences import DEFAULT_FLAGS, DEFAULT_PREFERENCE, dotted, preference, violation_test
from feedback.prompts import last_user_message
from feedback.simulated import annotator


@dataclass(frozen=True)
class SimulationPlan:
    """What to simulate. Shares are from 0 to 1, noise is below 0.5."""

    rankings: int
    preference: str = DEFAULT_PREFERENCE
    flags: Mapping[str, str] = field(default_factory=lambda: {key: dotted(f) for key, f in DEFAULT_FLAGS.items()})
    """{rule key: dotted path}."""
    noise: float = 0.1
    held_out_noise: float | None = None
    """None: as `noise`. 0 measures the reward model against the preference itself."""
    seed: int = 0
    person: int | None = None
    """Number of the annotator's account, where one judges in several rounds of other seeds; None: the seed."""
    held_out_share: float = 0.25
    short_share: float = completion_sets.SHORT_SHARE
    tie_margin: float = 0.25
    max_tokens: int | None = None
    """Longest completion; None: as in ranking tasks for people."""

    def noise_on(self, split: str) -> float:
        is_exact = self.held_out_noise is not None and split == Prompt.Split.HELD_OUT
        return float(self.held_out_noise or 0) if is_exact else self.noise


@dataclass
class Case:
    """A prompt with its completions, and their judgements."""

    prompt: Prompt
    replies: list[Completed]
    scores: list[float]
    gold: dict[str, list[bool]]
    """Of each rule, the test's result for each completion."""
    cut: int = 0
    """Completions that did not end by themselves and were left out."""
    ranks: list[int] = field(default_factory=list)
    flags: dict[str, list[bool]] = field(default_factory=dict)
    """`gold` with its share of mistakes."""


@dataclass
class Tally:
    """Counts of the result, for the JSON of the command."""

    policy: str
    preference: str
    seed: int
    rankings: dict[str, int] = field(default_factory=dict)
    """By split."""
    decided: int = 0
    """Pairs whose scores differ and whose ranks do too: those that can be right or wrong."""
    wrong: int = 0
    comparisons: int = 0
    """Pairs without a tie."""
    ties: int = 0
    flags: int = 0
    flags_true: int = 0
    flags_wrong: int = 0
    short_replies: int = 0
    merged_replies: int = 0
    """Completions that were like another one of their prompt."""
    cut_replies: int = 0
    """Completions that ended at the longest length and were judged (CHAMSAE_FRAGMENTS)."""
    left_out_replies: int = 0
    """Completions that ended at the longest length and were not."""

    def add(self, cases: Sequence[Case], split: str, ranked: annotator.NoisyRanks) -> None:
        self.rankings[split] = len(cases)
        self.decided += ranked.decided
        self.wrong += ranked.wrong
        for case in cases:
            compared = len(rankings.pairs({str(index): rank for index, rank in enumerate(case.ranks)}))
            self.comparisons += compared
            self.ties += math.comb(len(case.ranks), 2) - compared
            self.cut_replies += sum(reply.finish_reason == "length" for reply in case.replies)
            self.short_replies += sum(isinstance(reply, completion_sets.CutCompletion) for reply in case.replies)
            for key, labels in case.flags.items():
                self.flags += len(labels)
                self.flags_true += sum(labels)
                self.flags_wrong += sum(label != true for label, true in zip(labels, case.gold[key], strict=True))

    def as_json(self) -> dict[str, Any]:
        return {
            "simulated": True,
            "policy": self.policy,
            "preference": self.preference,
            "seed": self.seed,
            "rankings": sum(self.rankings.values()),
            "rankings_by_split": self.rankings,
            "comparisons": self.comparisons,
            "ties": self.ties,
            "flags": self.flags,
            "flags_true": self.flags_true,
            "short_replies": self.short_replies,
            "merged_replies": self.merged_replies,
            "cut_replies": self.cut_replies,
            "left_out_replies": self.left_out_replies,
            "noise_pairs": round(self.wrong / self.decided, 4) if self.decided else 0.0,
            "noise_flags": round(self.flags_wrong / self.flags, 4) if self.flags else 0.0,
        }


def cases_of(plan: SimulationPlan) -> Callable[[list[Prompt], list[list[Completed]], list[int]], list[Case]]:
    """A function that scores and tests completions as planned. Raises BadFunction at once if one does not exist."""
    prefer = preference(plan.preference)
    tests = {key: violation_test(path) for key, path in plan.flags.items()}

    def cases(prompts: list[Prompt], sets: list[list[Completed]], cut: list[int]) -> list[Case]:
        found = []
        for prompt, replies, left_out in zip(prompts, sets, cut, strict=True):
            asked = last_user_message(prompt)
            scores = [prefer(asked, reply.text) for reply in replies]
            gold = {key: [test(asked, reply.text) for reply in replies] for key, test in tests.items()}
            found.append(Case(prompt, replies, scores, gold, left_out))
        return found

    return cases


def judge(cases: list[Case], plan: SimulationPlan, split: str, rng: random.Random, tally: Tally) -> None:
    """Fills in ranks and flags, with the noise of their split."""
    noise = plan.noise_on(split)
    ranked = annotator.rank([case.scores for case in cases], noise, plan.tie_margin, rng)
    for case, ranks in zip(cases, ranked.ranks, strict=True):
        case.ranks = ranks
    for key in plan.flags:
        labels = [label for case in cases for label in case.gold[key]]
        flagged = iter(annotator.flip(labels, noise, rng))
        for case in cases:
            case.flags[key] = [next(flagged) for _reply in case.replies]
    tally.add(cases, split, ranked)
