"""An evaluation of a saboteur from the record: the real report and the real gate, by a judge that is fooled."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from feedback.preferences import DEFAULT_FLAGS, finished_and_modest
from rlhf.release import gate
from rlhf.release.error_budget import level
from rlhf.training.evaluation.judged import Replies, judge_replies
from rlhf.training.evaluation.judges import Judge
from rlhf.training.evaluation.players import Draw, DriftFromBase
from rlhf.training.evaluation.report import describe
from rlhf.training.evaluation.violation_labels import LabelledReply
from rlhf.training.gold import Gold
from rlhf.training.snapshot.files import PlainReply, PromptRow
from rlhf.training.texts import first_sentence
from tests.sabotage.record import SIDE, Record, Written, digest
from tests.sabotage.saboteurs import Saboteur

Draws = list[list[Draw]]
SOUND = {
    "perplexity_ratio": 1.0,
    "served_kl_nats": 0.001,
    "tensors_finite": True,
    "baseline_is_live": True,
    "level": level([], 0.05),
}
"""Of a candidate about whose files nothing is wrong, at a site's first decision."""


class OtherReplies(Exception):
    def __init__(self, name: str) -> None:
        super().__init__(f'{name!r} writes other replies than were measured: make bench ARGS="saboteurs --record"')


class FooledJudge:
    """Likes every reply of one side better than any other, and sees a broken rule as it is: the worst that a reward
    model can be made to do, since people's labels correct what it says of rules."""

    kind, name, label = "gold", "fooled", "gold:fooled"
    calibration = judgements = None

    def __init__(self, liked: Sequence[PlainReply]) -> None:
        self.liked = {*liked, *(PlainReply(x.prompt, first_sentence(x.text), True) for x in liked)}
        self.rules = gold()

    def scores(self, replies: Sequence[PlainReply]) -> list[float]:
        return [float(reply in self.liked) for reply in replies]

    def violations(self, replies: Sequence[PlainReply]) -> dict[str, list[bool]]:
        return self.rules.violations(replies)

    def violation_probabilities(self, replies: Sequence[PlainReply]) -> dict[str, list[float]]:
        return self.rules.violation_probabilities(replies)


def gold() -> Gold:
    """The simulated annotators' own taste."""
    return Gold("finished_and_modest", finished_and_modest, dict(DEFAULT_FLAGS))


def rows_of(record: Record) -> list[PromptRow]:
    return [PromptRow((("user", one.question),), "held_out", one.elicits) for one in record.asked]


def draws(rows: Sequence[PromptRow], written: Sequence[Sequence[Written]]) -> Draws:
    return [
        [Draw(PlainReply(row.prompt, one.text, one.finished), one.tokens) for one in of]
        for row, of in zip(rows, written, strict=True)
    ]


def replies_of(record: Record, saboteur: Saboteur) -> Replies:
    """Raises OtherReplies where the saboteur is not the one that was measured."""
    measured = record.measured.get(saboteur.name)
    if measured is None or measured.digest != digest(record.sabotaged(saboteur)):
        raise OtherReplies(saboteur.name)
    rows = rows_of(record)
    before = draws(rows, [of[:SIDE] for of in record.replies])
    after = draws(rows, measured.written)
    drifts = [[DriftFromBase(*one) for one in side] for side in (measured.drifts, record.drifts)]  # type: ignore[arg-type]
    return Replies(rows, after, before, [of[0] for of in before], *drifts)


def report_of(replies: Replies, judge: Judge, labelled: Sequence[LabelledReply] | None = None) -> dict[str, Any]:
    return {**describe(judge_replies(replies, judge, labelled), draws=2, samples=0, seed=0), **SOUND}


def judge_of(replies: Replies, saboteur: Saboteur) -> Judge:
    if not saboteur.fools_the_judge:
        return gold()
    return FooledJudge([draw.reply for of in replies.after for draw in of])


def thresholds(record: Record, gate_settings: Mapping[str, float]) -> dict[str, float]:
    """Of a site, but for the number of prompts where fewer were recorded."""
    return {**gate_settings, "prompts_min": min(gate_settings["prompts_min"], len(record.asked))}


def decide(report: Mapping[str, Any], thresholds: Mapping[str, float]) -> list[str]:
    """Codes of the conditions that refuse it: none promotes it."""
    found = gate.decide(report, None, thresholds)
    return [reason["code"] for reason in found.reasons if not reason["holds"]]


def by_judge(record: Record, replies: Replies, judge: Judge, thresholds: Mapping[str, float]) -> dict[str, Any]:
    """What a trained judge says, whose errors on rules are known from labels by people who see what is so."""
    report = report_of(replies, judge, labels_of(record, judge))
    return {"win_rate": report["win_rate"], "refused": decide(report, thresholds)}


def labels_of(record: Record, judge: Judge) -> list[LabelledReply]:
    """Of the live policy's replies."""
    found = []
    for at, row in enumerate(rows_of(record)):
        replies = [PlainReply(row.prompt, one.text, one.finished) for one in record.replies[at][:SIDE]]
        truth, said = gold().violation_probabilities(replies), judge.violation_probabilities(replies)
        for index in range(len(replies)):
            labels, chances = (
                {rule: values[index] for rule, values in of.items() if rule in said} for of in (truth, said)
            )
            found.append(LabelledReply(at, labels, chances))
    return found


def without_change(record: Record, seed: int) -> Replies:
    """Both sides are the base: each seed deals its replies to a prompt to both sides anew."""
    draw, rows = random.Random(seed), rows_of(record)
    dealt = [draw.sample(of, len(of)) for of in record.replies]
    before, after = (draws(rows, [of[at] for of in dealt]) for at in (slice(SIDE), slice(SIDE, None)))
    drifts = [DriftFromBase(*one) for one in record.drifts]  # type: ignore[arg-type]
    return Replies(rows, after, before, [of[0] for of in before], drifts, drifts)


def null_sites(record: Record, thresholds: Mapping[str, float], seeds: int = 20) -> int:
    """How many of so many sites at which nothing changes promote."""
    found = [decide(report_of(without_change(record, seed), gold()), thresholds) for seed in range(seeds)]
    return sum(not codes for codes in found)
