"""The report on two policies from replies already sampled: wins, controls, violations, figures, a table."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rlhf.training.evaluation.judges import Judge
from rlhf.training.evaluation.players import Draw, DriftFromBase
from rlhf.training.snapshot.files import PlainReply, PromptMessages, PromptRow, digest, last_user_text
from rlhf.training.statistics import Interval, cluster_bootstrap
from rlhf.training.texts import distinct_2, first_sentence, is_empty, repetition


@dataclass(frozen=True)
class AnchorReplies:
    """What is measured against the original base, from which many small steps lead far away."""

    draws: list[list[Draw]]
    """As many a prompt as each side has."""
    after_drift: list[DriftFromBase]
    """From the anchor, of the first draws of the policy."""
    own_drift: list[DriftFromBase]
    """Of the anchor's own replies."""


@dataclass
class Replies:
    """Everything that was sampled, by prompt. Both sides have 2 x draws: the violation rates pool them all."""

    rows: list[PromptRow]
    after: list[list[Draw]]
    before: list[list[Draw]]
    best: list[Draw]
    after_drift: list[DriftFromBase]
    """Of the first draws of `after`."""
    base_drift: list[DriftFromBase]
    """Of the base's own replies to the same prompts."""
    anchor: AnchorReplies | None = None
    """None where training started from the anchor itself, so that base and baseline tell all."""


def describe(replies: Replies, judge: Judge, *, draws: int, samples: int, seed: int) -> dict[str, Any]:
    """The report on what was sampled, by one judge, which it names."""
    after, before = [x[:draws] for x in replies.after], [x[:draws] for x in replies.before]
    other = [x[draws:] for x in replies.before]
    best = [[draw] for draw in replies.best]
    won = _win_rate(judge, after, before)
    ours, theirs = _flat(replies.after), _flat(replies.before)
    return {
        "judge": judge.label,
        "judge_kind": judge.kind,
        "judge_name": judge.name,
        "n": len(_flat(after)),
        "prompts": len(replies.rows),
        "win_rate": won.value,
        "win_rate_low": won.low,
        "win_rate_high": won.high,
        "controls": {
            "null": _control(_win_rate(judge, other, before)),
            "first_sentence": _control(_win_rate(judge, _cut(other), before)),
            "best_of_8": _control(_win_rate(judge, best, [x[:1] for x in before[: len(best)]])),
            "stop_controlled": _control(_win_rate(judge, _cut(after), _cut(before))),
        },
        **_violation_report(replies, judge),
        **_drift(replies.after_drift, replies.base_drift),
        **_against_anchor(replies, judge),
        "length_ratio": _mean([x.tokens for x in ours]) / _mean([x.tokens for x in theirs]),
        **_side_figures(ours, "after"),
        **_side_figures(theirs, "before"),
        "repetition": _mean([repetition(x.reply.text) for x in ours]),
        "empty_rate": _mean([float(is_empty(x.reply.text)) for x in ours]),
        "distinct_2": distinct_2([x.reply.text for x in _flat(after)]),
        "distinct_2_before": distinct_2([x.reply.text for x in _flat(before)]),
        "samples": _sample_table(replies, judge, samples, seed),
    }


def _win_rate(judge: Judge, ones: Sequence[Sequence[Draw]], others: Sequence[Sequence[Draw]]) -> Interval:
    """Share of wins of `ones`, ties one half, over pairs of like draws; bounds by resampling prompts."""
    left = judge.scores([draw.reply for draw in _flat(ones)])
    right = judge.scores([draw.reply for draw in _flat(others)])
    won = [0.5 if a == b else float(a > b) for a, b in zip(left, right, strict=True)]
    return cluster_bootstrap(won, [draw.reply.prompt for draw in _flat(ones)])


def _violation_report(replies: Replies, judge: Judge) -> dict[str, Any]:
    """Rates on the prompts that elicit violations (on all where none does), of whole replies and first sentences."""
    chosen = _eliciting(replies.rows)
    is_any = any(row.elicits is not None for row in replies.rows)
    report: dict[str, Any] = {"violation_prompts": len(chosen), "violation_prompts_elicit": is_any}
    for name, draws in (("before", replies.before), ("after", replies.after)):
        picked = [draws[index] for index in chosen]
        whole = _violation_hits(judge, picked)
        report |= _rate(f"violation_rate_{name}", whole.any)
        report |= _rate(f"first_sentence_violation_rate_{name}", _violation_hits(judge, _cut(picked)).any)
        report |= _rate(f"all_prompts_violation_rate_{name}", _violation_hits(judge, draws).any)
        report[f"violation_rate_by_rule_{name}"] = {key: _mean(hits) for key, hits in whole.by_rule.items()}
        report[f"violation_n_{name}"] = len(_flat(picked))
    return report


def _eliciting(rows: Sequence[PromptRow]) -> list[int]:
    """Numbers of the prompts that elicit violations; of all where none does."""
    return [index for index, row in enumerate(rows) if row.elicits is not None] or list(range(len(rows)))


@dataclass(frozen=True)
class ViolationHits:
    """Of each reply whether it breaks any rule, with its prompt; nothing where the judge knows no rule."""

    any: list[tuple[float, PromptMessages]]
    by_rule: dict[str, list[float]]


def _violation_hits(judge: Judge, draws: Sequence[Sequence[Draw]]) -> ViolationHits:
    found = judge.violations([draw.reply for draw in _flat(draws)])
    if not found:
        return ViolationHits([], {})
    hits = [float(any(of_reply)) for of_reply in zip(*found.values(), strict=True)]
    prompts = [draw.reply.prompt for draw in _flat(draws)]
    return ViolationHits(list(zip(hits, prompts, strict=True)), {k: [float(x) for x in v] for k, v in found.items()})


def _rate(name: str, hits: list[tuple[float, PromptMessages]]) -> dict[str, float | None]:
    if not hits:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    found = cluster_bootstrap([hit for hit, _ in hits], [prompt for _, prompt in hits])
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def _against_anchor(replies: Replies, judge: Judge) -> dict[str, Any]:
    """The figures that bound a single training, against the policy that all of them started from."""
    anchor = replies.anchor
    if anchor is None:
        return {"anchor_is_start": True}
    chosen = [anchor.draws[index] for index in _eliciting(replies.rows)]
    found = {
        **_drift(anchor.after_drift, anchor.own_drift),
        "length_ratio": _mean([x.tokens for x in _flat(replies.after)])
        / _mean([x.tokens for x in _flat(anchor.draws)]),
        **_rate("violation_rate", _violation_hits(judge, chosen).any),
    }
    return {"anchor_is_start": False, **{f"anchor_{key}": value for key, value in found.items()}}


def _drift(after_drift: Sequence[DriftFromBase], base_drift: Sequence[DriftFromBase]) -> dict[str, float]:
    """How far the policy went from the base, and how odd its replies are to a reader of the base's English.

    KL is summed over a reply, so short replies score low; surprise is a mean over tokens, so that a reply cut down to
    a few words shows. Fluent text with another content stays likely under the base; a jumble of words does not.
    It misses one sign repeated over and over, which is likely too: `repetition` and `empty_rate` catch that.
    """
    after, base = _mean_surprise(after_drift), _mean_surprise(base_drift)
    return {
        "kl_nats": _mean([drift.kl_nats for drift in after_drift]),
        "surprise_nats": after,
        "surprise_nats_base": base,
        "surprise_ratio": after / base if base else math.nan,
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


def _sample_table(replies: Replies, judge: Judge, n: int, seed: int) -> list[dict[str, Any]]:
    """First draws of both sides for people to read, half of them on prompts that elicit violations."""
    order = list(range(len(replies.rows)))
    random.Random(seed).shuffle(order)
    eliciting = [index for index in order if replies.rows[index].elicits is not None]
    chosen = (eliciting[: n // 2] + [index for index in order if index not in eliciting])[:n]
    before = [replies.before[index][0].reply for index in chosen]
    after = [replies.after[index][0].reply for index in chosen]
    return [
        {
            "prompt": last_user_text(was.prompt),
            "prompt_sha256": digest(was.prompt),
            "elicits": replies.rows[index].elicits,
            "before": was.text,
            "after": now.text,
            "score_before": score_before,
            "score_after": score_after,
        }
        for index, was, now, score_before, score_after in zip(
            chosen, before, after, judge.scores(before), judge.scores(after), strict=True
        )
    ]


def _cut(draws: Sequence[Sequence[Draw]]) -> list[list[Draw]]:
    """The replies with everything after their first sentence taken away."""
    return [[replace(draw, reply=_cut_reply(draw.reply)) for draw in of_prompt] for of_prompt in draws]


def _cut_reply(reply: PlainReply) -> PlainReply:
    sentence = first_sentence(reply.text)
    return replace(reply, text=sentence, finished=reply.finished or sentence != reply.text)


def _control(found: Interval) -> dict[str, float]:
    return {"win_rate": found.value, "low": found.low, "high": found.high}


def _flat(draws: Sequence[Sequence[Draw]]) -> list[Draw]:
    return [draw for of_prompt in draws for draw in of_prompt]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
