"""Shares of the policy's replies that are worse than nearly all of the anchor's: what a mean over replies hides.

The anchor is the policy with which the first cycle began. A reply is odd, or off the topic, where it lies past a
percentile of the anchor's own replies to the same prompts; it is no answer where it holds no sentence but the
prompt's, or is in another script, where the anchor answers that prompt better. The shares are of all replies that
were measured, so that a figure exists for every policy.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from rlhf.training.evaluation.judged import Replies
from rlhf.training.evaluation.players import Draw, DriftFromBase
from rlhf.training.snapshot.files import last_user_text
from rlhf.training.statistics import cluster_bootstrap
from rlhf.training.texts import says_something, script_of

HIGH, LOW = 0.99, 0.01


def describe_tails(replies: Replies) -> dict[str, Any]:
    """Each share with its interval by prompt, and the limits in nats a token that the anchor's replies set."""
    after, own = _drifts(replies)
    surprise = float(np.quantile([_surprise(drift) for drift in own], HIGH))
    window = float(np.quantile([drift.worst_window_nats for drift in own], HIGH))
    topics = [drift.topic_nats for drift in own if drift.topic_nats is not None]
    topic = float(np.quantile(topics, LOW)) if topics else None
    odd = [[not (_surprise(drift) <= surprise and drift.worst_window_nats <= window)] for drift in after]
    off = [
        [drift.topic_nats < topic] if topic is not None and drift.topic_nats is not None else [] for drift in after
    ]
    return {
        "odd_limit_nats": surprise,
        "odd_window_limit_nats": window,
        "off_topic_limit_nats": topic,
        **_share("odd_share", replies, odd),
        **_share("off_topic_share", replies, off),
        **_share("no_sentence_share", replies, _without_sentence(replies, replies.after)),
        **_share("no_sentence_share_anchor", replies, _without_sentence(replies, _anchor_draws(replies))),
        **_share("other_script_share", replies, _in_other_script(replies, replies.after)),
    }


def _anchor_draws(replies: Replies) -> Sequence[Sequence[Draw]]:
    """The anchor's replies to each prompt."""
    if replies.anchor is not None:
        return replies.anchor.draws
    return replies.before if replies.base is None else [[draw] for draw in replies.base]


def _without_sentence(replies: Replies, draws: Sequence[Sequence[Draw]]) -> list[list[bool]]:
    """Of `draws`, those without a sentence of their own where more than half of the anchor's replies hold one."""
    said = _saying(replies, _anchor_draws(replies))
    speaks = [2 * sum(of_prompt) > len(of_prompt) for of_prompt in said]
    return [
        [wanted and not says for says in of_prompt]
        for wanted, of_prompt in zip(speaks, _saying(replies, draws), strict=True)
    ]


def _saying(replies: Replies, draws: Sequence[Sequence[Draw]]) -> list[list[bool]]:
    return [
        [says_something(draw.reply.text, last_user_text(row.prompt)) for draw in of_prompt]
        for row, of_prompt in zip(replies.rows, draws, strict=True)
    ]


def _in_other_script(replies: Replies, draws: Sequence[Sequence[Draw]]) -> list[list[bool]]:
    """Of `draws`, those whose script is neither the prompt's nor that of any of the anchor's replies to it."""
    return [
        [script_of(draw.reply.text) not in known for draw in of_prompt]
        for known, of_prompt in zip(_known_scripts(replies), draws, strict=True)
    ]


def _known_scripts(replies: Replies) -> list[set[str | None]]:
    """None is always among them: a reply without letters is counted as one without a sentence."""
    return [
        {None, script_of(last_user_text(row.prompt)), *(script_of(draw.reply.text) for draw in of_prompt)}
        for row, of_prompt in zip(replies.rows, _anchor_draws(replies), strict=True)
    ]


def _drifts(replies: Replies) -> tuple[Sequence[DriftFromBase], Sequence[DriftFromBase]]:
    """Of the first replies, from the anchor: the policy's and its own."""
    if replies.anchor is not None:
        return replies.anchor.after_drift, replies.anchor.own_drift
    return replies.after_drift, replies.base_drift


def _surprise(drift: DriftFromBase) -> float:
    return drift.surprise_nats / drift.tokens


def _share(name: str, replies: Replies, hits: Sequence[Sequence[bool]]) -> dict[str, float | None]:
    """Nothing where nothing was measured."""
    flat = [(float(hit), row.prompt) for row, of_prompt in zip(replies.rows, hits, strict=True) for hit in of_prompt]
    if not flat:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    found = cluster_bootstrap([hit for hit, _ in flat], [prompt for _, prompt in flat])
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
