"""Tables of replies for people to read: some drawn at random, and those in which something is most likely wrong."""

import random
from typing import Any

from rlhf.training.evaluation.judged import Judged, JudgedReplies
from rlhf.training.snapshot.files import last_user_text

SURPRISING, SHORT, BREAKS_RULE = "surprising", "short", "breaks_rule"
"""Why a reply is among the worst: most surprising to the base, shortest, or found to break a rule."""


def drawn_at_random(judged: JudgedReplies, n: int, seed: int) -> list[dict[str, Any]]:
    """First draws of both sides, half of them on prompts that elicit violations."""
    rows = judged.replies.rows
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    eliciting = [index for index in order if rows[index].elicits is not None]
    chosen = (eliciting[: n // 2] + [index for index in order if index not in eliciting])[:n]
    return [_row(judged, index) for index in chosen]


def worst(judged: JudgedReplies, n: int) -> list[dict[str, Any]]:
    """At most n first draws of the policy, those with several reasons first, then the most surprising."""
    reasons: dict[int, list[str]] = {}
    for reason, order in _orders(judged).items():
        for index in order[: max(1, n // 3)]:
            reasons.setdefault(index, []).append(reason)
    order = sorted(reasons, key=lambda index: (-len(reasons[index]), -_surprise(judged, index), index))
    return [{**_row(judged, index), "why": reasons[index]} for index in order[:n]]


def _orders(judged: JudgedReplies) -> dict[str, list[int]]:
    """For each reason the prompts to whose replies it applies, the worst first."""
    every = range(len(judged.after))
    first = [of_prompt[0] for of_prompt in judged.after]
    breaking = [index for index in every if first[index].broken]
    return {
        BREAKS_RULE: sorted(breaking, key=lambda index: (first[index].score, index)),
        SURPRISING: sorted(every, key=lambda index: (-_surprise(judged, index), index)),
        SHORT: sorted(every, key=lambda index: (first[index].draw.tokens, index)),
    }


def _surprise(judged: JudgedReplies, index: int) -> float:
    """Of the policy's first reply to the base, nats a token."""
    drift = judged.replies.after_drift[index]
    return drift.surprise_nats / drift.tokens


def _row(judged: JudgedReplies, index: int) -> dict[str, Any]:
    asked = judged.replies.rows[index]
    made = {
        "prompt": last_user_text(asked.prompt),
        "prompt_sha256": asked.name,
        "elicits": asked.elicits,
        "surprise_after": _surprise(judged, index),
        **_side(judged.before[index][0], "before"),
        **_side(judged.after[index][0], "after"),
    }
    originals = judged.originals()
    return made if originals is None else made | _side(originals[index], "base")


def _side(one: Judged, side: str) -> dict[str, Any]:
    return {
        side: one.draw.reply.text,
        f"score_{side}": one.score,
        f"tokens_{side}": one.draw.tokens,
        f"broken_{side}": list(one.broken),
    }
