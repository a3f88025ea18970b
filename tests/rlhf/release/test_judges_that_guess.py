"""A judge trained on random labels lets nothing pass, whatever it prefers; a good one lets the better pass.

The candidate of the guessing judges is the policy itself with its replies cut in half: each such judge has some taste
for length, and before it was asked how good it is, many of them let that candidate pass.
"""

import random

import numpy as np
import pytest
from django.conf import settings

from rlhf.release.checks import judge as qualified
from rlhf.release.checks import wins
from rlhf.training.evaluation.judged import Replies, judge_replies
from rlhf.training.evaluation.players import Draw, DriftFromBase
from rlhf.training.evaluation.report import describe
from rlhf.training.reward.folds import Fold, Folds
from rlhf.training.reward.qualification import JudgedComparison, Judgements
from rlhf.training.snapshot.files import PlainReply, PromptRow
from rlhf.training.statistics import cluster_bootstrap

WORDS = ("bird", "light", "song", "water", "kind", "star", "rude", "rice", "day", "tree")
PROMPTS, PEOPLE = 60, 4
SEEDS = 40
LEVEL = 0.025
STILL = DriftFromBase(0.0, 1.0, 1)


def features(text):
    """What a judge reads: length, and how often each word is there."""
    words = text.split()
    return np.array([len(words) / 10, *(words.count(word) / 3 for word in WORDS)])


def write(draw, prompt, kindness=0.0):
    words = draw.choices(WORDS, k=draw.randint(6, 16)) + ["kind"] * (draw.random() < kindness)
    return PlainReply(prompt, " ".join(words), True)


def half(reply):
    words = reply.text.split()
    return PlainReply(reply.prompt, " ".join(words[: len(words) // 2]), True)


class LinearJudge:
    """Cross-fitted like the real one, on features instead of states."""

    kind, name, label = "reward_model", "held_out", "reward model:held_out"

    def __init__(self, comparisons):
        """(prompt, person, chosen, rejected) of each."""
        self.folds = Folds.divide((prompt[0][1], person) for prompt, person, *_ in comparisons)
        self.weights = {fold: self._learn(fold, comparisons) for fold in self.folds.cells}
        self.judgements = Judgements(
            tuple(
                JudgedComparison(self._margin(fold, chosen, rejected), prompt[0][1], person, False, fold.prompts)
                for fold in self.folds.cells
                for prompt, person, chosen, rejected in comparisons
                if self.folds.judges(fold, prompt[0][1], person)
            ),
            (),
        )
        self.calibration = self.judgements.calibration

    def _learn(self, fold, comparisons):
        """Logistic regression by gradient steps, with some decay."""
        rows = [
            features(chosen.text) - features(rejected.text)
            for prompt, person, chosen, rejected in comparisons
            if self.folds.learns(fold, prompt[0][1], person)
        ]
        x, weights = np.array(rows), np.zeros(len(WORDS) + 1)
        for _ in range(200):
            weights += 0.5 * ((1 / (1 + np.exp(x @ weights)))[:, None] * x).mean(0) - 0.002 * weights
        return weights / (np.linalg.norm(weights) or 1.0)

    def _margin(self, fold, chosen, rejected):
        return float((features(chosen.text) - features(rejected.text)) @ self.weights[fold])

    def scores(self, replies):
        return [
            float(
                np.mean(
                    [
                        features(reply.text) @ self.weights[Fold(self.folds.prompt_fold(reply.prompt[0][1]), person)]
                        for person in range(self.folds.annotator_folds)
                    ]
                )
            )
            for reply in replies
        ]

    def violations(self, replies):
        return {}

    def violation_probabilities(self, replies):
        return {}


def judge_of(seed, quality, n=240):
    """`quality`: whether people prefer the kinder reply, with 15 % noise, or toss a coin."""
    draw = random.Random(seed)
    made = []
    for number in range(n):
        prompt = (("user", f"prompt {number % PROMPTS}"),)
        one, other = write(draw, prompt), write(draw, prompt)
        better = one.text.count("kind") - one.text.count("rude") > other.text.count("kind") - other.text.count("rude")
        first = better != (draw.random() < 0.15) if quality else draw.random() < 0.5
        chosen, rejected = (one, other) if first else (other, one)
        made.append((prompt, f"person-{draw.randrange(PEOPLE)}", chosen, rejected))
    return LinearJudge(made)


def report_of(judge, candidate, seed):
    """`candidate`: a reply of the policy -> the candidate's."""
    draw = random.Random(1000 + seed)
    rows = [PromptRow((("user", f"prompt {number}"),), "held_out") for number in range(PROMPTS)]

    def side(change):
        replies = [[change(write(draw, row.prompt)) for _ in range(4)] for row in rows]
        return [[Draw(reply, len(reply.text.split())) for reply in of_prompt] for of_prompt in replies]

    after, before = side(candidate), side(lambda reply: reply)
    still = [STILL] * PROMPTS
    return describe(
        judge_replies(Replies(rows, after, before, [x[0] for x in before], still, still), judge),
        draws=2,
        samples=0,
        seed=0,
    )


def refusals(report):
    """Codes of the gate's conditions on wins and on the judge that do not hold."""
    report = {**report, "level": LEVEL}
    reasons = [*wins.check(report, None, settings.GATE), *qualified.check(report, None, settings.GATE)]
    return {reason.code for reason in reasons if not reason.holds}


def passes_as_before(judge, seed):
    """The former rule: the share of pairs in which the judge scores the candidate higher, as if it were the truth."""
    draw = random.Random(1000 + seed)
    won, prompts = [], []
    for number in range(PROMPTS):
        prompt = (("user", f"prompt {number}"),)
        for _ in range(2):
            one, other = judge.scores([half(write(draw, prompt)), write(draw, prompt)])
            won.append(float(one > other))
            prompts.append(number)
    return cluster_bootstrap(won, prompts).low > settings.GATE["win_rate_low_min"]


@pytest.fixture(scope="module")
def guessing():
    return [judge_of(seed, quality=False) for seed in range(SEEDS)]


def test_judges_that_guess_let_nothing_pass(guessing):
    found = [refusals(report_of(judge, half, seed)) for seed, judge in enumerate(guessing)]
    assert all("judge_accuracy" in codes for codes in found)
    by_wins = sum("win_rate" not in codes for codes in found)
    assert by_wins <= 4, "the interval of a guessing judge alone holds one half in 38 of 40, give or take two"


def test_many_of_them_would_have_let_it_pass(guessing):
    assert sum(passes_as_before(judge, seed) for seed, judge in enumerate(guessing)) >= SEEDS // 5


def test_a_good_judge_lets_the_better_pass_and_not_the_same():
    judges = [judge_of(seed, quality=True) for seed in range(5)]

    def kinder(reply):
        return PlainReply(reply.prompt, f"{reply.text.replace('rude', 'kind')} kind", True)

    assert [refusals(report_of(judge, kinder, seed)) for seed, judge in enumerate(judges)] == [set()] * 5
    same = [refusals(report_of(judge, lambda reply: reply, seed)) for seed, judge in enumerate(judges)]
    assert sum("win_rate" in codes for codes in same) >= 4
    assert not any("judge_accuracy" in codes for codes in same)
