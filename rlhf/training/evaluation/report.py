"""The report on two policies from their judged replies: wins, controls, violations, figures, tables of replies."""

import math
from collections.abc import Sequence
from typing import Any

from rlhf.training.evaluation.judged import Judged, JudgedReplies
from rlhf.training.evaluation.players import Draw, DriftFromBase
from rlhf.training.evaluation.reply_tables import drawn_at_random, worst
from rlhf.training.evaluation.tail_shares import describe_tails
from rlhf.training.statistics import Interval, cluster_bootstrap
from rlhf.training.texts import distinct_2, is_empty, repetition

Scores = Sequence[Sequence[float]]


def describe(judged: JudgedReplies, *, draws: int, samples: int, seed: int) -> dict[str, Any]:
    """The report on what was sampled, by one judge, which it names."""
    replies, judge = judged.replies, judged.judge
    after, before = _scores(judged.after), _scores(judged.before)
    cut_after, cut_before = _cut_scores(judged.after), _cut_scores(judged.before)
    competing, standing = [x[:draws] for x in after], [x[:draws] for x in before]
    best = [[one.score] for one in judged.best]
    won = _win_rate(judged, competing, standing)
    ours, theirs = _flat(replies.after), _flat(replies.before)
    return {
        "judge": judge.label,
        "judge_kind": judge.kind,
        "judge_name": judge.name,
        "n": sum(len(x) for x in competing),
        "prompts": len(replies.rows),
        "win_rate": won.value,
        "win_rate_low": won.low,
        "win_rate_high": won.high,
        "controls": {
            "null": _control(_win_rate(judged, [x[draws:] for x in before], standing)),
            "first_sentence": _control(_win_rate(judged, [x[draws:] for x in cut_before], standing)),
            "best_of_8": _control(_win_rate(judged, best, [x[:1] for x in standing[: len(best)]])),
            "stop_controlled": _control(
                _win_rate(judged, [x[:draws] for x in cut_after], [x[:draws] for x in cut_before])
            ),
        },
        **_violation_report(judged),
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


def _win_rate(judged: JudgedReplies, ones: Scores, others: Scores) -> Interval:
    """Share of wins of `ones`, ties one half, over pairs of like draws; bounds by resampling prompts."""
    won, prompts = [], []
    for row, left, right in zip(judged.replies.rows, ones, others, strict=False):
        won += [0.5 if a == b else float(a > b) for a, b in zip(left, right, strict=True)]
        prompts += [row.prompt] * len(left)
    return cluster_bootstrap(won, prompts)


def _violation_report(judged: JudgedReplies) -> dict[str, Any]:
    """Rates on the prompts that elicit violations (on all where none does), of whole replies and first sentences."""
    chosen = _eliciting(judged)
    is_any = any(row.elicits is not None for row in judged.replies.rows)
    report: dict[str, Any] = {"violation_prompts": len(chosen), "violation_prompts_elicit": is_any}
    for name, side in (("before", judged.before), ("after", judged.after)):
        picked = [one for index in chosen for one in side[index]]
        every = [one for of_prompt in side for one in of_prompt]
        report |= _rate(f"violation_rate_{name}", judged, picked, [bool(one.broken) for one in picked])
        report |= _rate(
            f"first_sentence_violation_rate_{name}", judged, picked, [bool(one.cut_broken) for one in picked]
        )
        report |= _rate(f"all_prompts_violation_rate_{name}", judged, every, [bool(one.broken) for one in every])
        report[f"violation_rate_by_rule_{name}"] = {
            rule: _mean([float(rule in one.broken) for one in picked]) for rule in judged.rules
        }
        report[f"violation_n_{name}"] = len(picked)
    return report


def _eliciting(judged: JudgedReplies) -> list[int]:
    """Numbers of the prompts that elicit violations; of all where none does."""
    rows = judged.replies.rows
    return [index for index, row in enumerate(rows) if row.elicits is not None] or list(range(len(rows)))


def _rate(name: str, judged: JudgedReplies, side: Sequence[Judged], hits: Sequence[bool]) -> dict[str, float | None]:
    """Nothing where the judge knows no rule."""
    if not judged.rules or not side:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    found = cluster_bootstrap([float(hit) for hit in hits], [one.draw.reply.prompt for one in side])
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def _against_anchor(judged: JudgedReplies) -> dict[str, Any]:
    """The figures that bound a single training, against the policy that all of them started from."""
    replies, anchor = judged.replies, judged.replies.anchor
    if anchor is None or judged.anchor is None:
        return {"anchor_is_start": True}
    picked = [one for index in _eliciting(judged) for one in judged.anchor[index]]
    found = {
        **_drift(anchor.after_drift, anchor.own_drift),
        "length_ratio": _mean([x.tokens for x in _flat(replies.after)])
        / _mean([x.tokens for x in _flat(anchor.draws)]),
        **_rate("violation_rate", judged, picked, [bool(one.broken) for one in picked]),
    }
    return {"anchor_is_start": False, **{f"anchor_{key}": value for key, value in found.items()}}


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


def _control(found: Interval) -> dict[str, float]:
    return {"win_rate": found.value, "low": found.low, "high": found.high}


def _flat(draws: Sequence[Sequence[Draw]]) -> list[Draw]:
    return [draw for of_prompt in draws for draw in of_prompt]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
