"""The report on two policies from their judged replies: wins, controls, violations, figures, tables of replies."""

import math
from collections.abc import Sequence
from typing import Any

from rlhf.training.evaluation import preferred, violation_report
from rlhf.training.evaluation.judge_report import describe_judge
from rlhf.training.evaluation.judged import Judged, JudgedReplies
from rlhf.training.evaluation.players import Draw, DriftFromBase
from rlhf.training.evaluation.preferred import Preferred, Scores
from rlhf.training.evaluation.reply_tables import drawn_at_random, worst
from rlhf.training.evaluation.tail_shares import describe_tails
from rlhf.training.texts import distinct_2, is_empty, repetition


def describe(judged: JudgedReplies, *, draws: int, samples: int, seed: int) -> dict[str, Any]:
    """The report on what was sampled, by one judge, which it names."""
    replies, judge = judged.replies, judged.judge
    after, before = _scores(judged.after), _scores(judged.before)
    cut_after, cut_before = _cut_scores(judged.after), _cut_scores(judged.before)
    competing, standing = [x[:draws] for x in after], [x[:draws] for x in before]
    best = [[one.score] for one in judged.best]
    won = _against(judged, competing, standing)
    cut_won = _against(judged, [x[:draws] for x in cut_after], [x[:draws] for x in cut_before])
    first_sentence = _against(judged, [x[draws : 2 * draws] for x in cut_before], standing)
    null = _against(judged, [x[draws:] for x in before], standing)
    best_of = _against(judged, best, [x[:1] for x in standing[: len(best)]])
    ours, theirs = _flat(replies.after), _flat(replies.before)
    return {
        "judge": judge.label,
        "judge_kind": judge.kind,
        "judge_name": judge.name,
        **describe_judge(judge),
        "n": sum(len(x) for x in competing),
        "prompts": len(replies.rows),
        **won.report("win_rate"),
        **preferred.margin(won, first_sentence, "first_sentence_margin"),
        "controls": {
            "null": null.control(),
            "first_sentence": first_sentence.control(),
            "best_of_8": best_of.control(),
            "stop_controlled": {**cut_won.control(), "se": cut_won.se()},
        },
        **violation_report.describe(judged),
        **_drift(replies.after_drift, replies.base_drift),
        **_against_anchor(judged),
        **describe_tails(replies),
        "length_ratio": _mean([x.tokens for x in ours]) / _mean([x.tokens for x in theirs]),
        **_side_figures(ours, "after"),
        **_side_figures(theirs, "before"),
        "repetition": _mean([repetition(x.reply.text) for x in ours]),
        "empty_rate": _mean([float(is_empty(x.reply.text)) for x in ours]),
        "distinct_2": distinct_2([x.reply.text for x in _flat([x[:draws] for x in replies.after])]),
        "distinct_2_before": distinct_2([x.reply.text for x in _flat([x[:draws] for x in replies.before])]),
        "samples": drawn_at_random(judged, samples, seed),
        "worst": worst(judged, samples),
    }


def _scores(side: Sequence[Sequence[Judged]]) -> list[list[float]]:
    return [[one.score for one in of_prompt] for of_prompt in side]


def _cut_scores(side: Sequence[Sequence[Judged]]) -> list[list[float]]:
    return [[one.cut_score for one in of_prompt] for of_prompt in side]


def _against(judged: JudgedReplies, ones: Scores, others: Scores) -> Preferred:
    """Of pairs of like draws."""
    sides = zip(ones, others, strict=False)
    differences = [[0.0 if a == b else a - b for a, b in zip(left, right, strict=True)] for left, right in sides]
    return Preferred(differences, judged.judge.calibration)


def _against_anchor(judged: JudgedReplies) -> dict[str, Any]:
    """The figures that bound a single training, against the policy that all of them started from."""
    replies, anchor = judged.replies, judged.replies.anchor
    if anchor is None or judged.anchor is None:
        return {"anchor_is_start": True}
    found = {
        **_drift(anchor.after_drift, anchor.own_drift),
        "length_ratio": _mean([x.tokens for x in _flat(replies.after)])
        / _mean([x.tokens for x in _flat(anchor.draws)]),
    }
    made = {f"anchor_{key}": value for key, value in found.items()}
    return {"anchor_is_start": False, **made, **violation_report.against_anchor(judged)}


def _drift(after: Sequence[DriftFromBase], base: Sequence[DriftFromBase]) -> dict[str, float]:
    """How far the policy went from the base, and how odd its replies are to a reader of the base's English.

    KL is summed over a reply, so short replies score low; surprise is a mean over tokens, so that a reply cut down to
    a few words shows. Fluent text with another content stays likely under the base; a jumble of words does not.
    It misses one sign repeated over and over, which is likely too: `repetition` and `empty_rate` catch that.
    """
    ours, theirs = _mean_surprise(after), _mean_surprise(base)
    return {
        "kl_nats": _mean([drift.kl_nats for drift in after]),
        "surprise_nats": ours,
        "surprise_nats_base": theirs,
        "surprise_ratio": ours / theirs if theirs else math.nan,
    }


def _mean_surprise(drifts: Sequence[DriftFromBase]) -> float:
    """Nats a token over all of them: a reply counts by its tokens, so that no mean of ratios is taken."""
    return sum(drift.surprise_nats for drift in drifts) / sum(drift.tokens for drift in drifts)


def _side_figures(draws: Sequence[Draw], side: str) -> dict[str, float]:
    return {
        f"tokens_{side}": _mean([draw.tokens for draw in draws]),
        f"ended_{side}": _mean([float(draw.reply.finished) for draw in draws]),
        f"repetition_{side}": _mean([repetition(draw.reply.text) for draw in draws]),
        f"empty_rate_{side}": _mean([float(is_empty(draw.reply.text)) for draw in draws]),
    }


def _flat(draws: Sequence[Sequence[Draw]]) -> list[Draw]:
    return [draw for of_prompt in draws for draw in of_prompt]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
