"""One line for each sampled reply, without its text: what the judge said of it, and what was measured."""

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rlhf.training.evaluation.judged import Judged, JudgedReplies
from rlhf.training.evaluation.players import DriftFromBase
from rlhf.training.snapshot.files import last_user_text
from rlhf.training.texts import is_empty, repetition, says_something, script_of

FILE = "replies.jsonl"
MEASURED = ("kl_nats", "surprise_nats", "worst_window_nats", "topic_nats")
"""Of first replies: fields of DriftFromBase."""


def write(judged: JudgedReplies, directory: Path, *, draws: int) -> dict[str, Any]:
    """Writes the file; returns what the report says of it."""
    text = "".join(json.dumps(row, allow_nan=False) + "\n" for row in _rows(judged, draws=draws))
    (directory / FILE).write_text(text)
    return {"file": FILE, "rows": text.count("\n"), "sha256": hashlib.sha256(text.encode()).hexdigest()}


def _rows(judged: JudgedReplies, *, draws: int) -> Iterator[dict[str, Any]]:
    """Prompts by their place in the order of the evaluation. Draws from `draws` on serve the controls alone, and
    those `for_violations` nothing but the rates of violations."""
    replies = judged.replies
    base_is_before = judged.base is None
    for side, of_prompts, drifts in (
        ("after", judged.after, replies.after_drift),
        ("before", judged.before, replies.base_drift if base_is_before else []),
        ("best_of", [[one] for one in judged.best], []),
        ("base", [[one] for one in judged.base or []], [] if base_is_before else replies.base_drift),
        ("anchor", judged.anchor or [], replies.anchor.own_drift if replies.anchor is not None else []),
    ):
        more = judged.more.get(side) or []
        for prompt, of_prompt in enumerate(of_prompts):
            yield from _of_prompt(judged, side, prompt, of_prompt, drifts, draws)
            for number, one in enumerate(more[prompt] if more else [], start=len(of_prompt)):
                yield {**_row(judged, side, prompt, number, one, competes=False), "for_violations": True}


def _of_prompt(
    judged: JudgedReplies,
    side: str,
    prompt: int,
    of_prompt: Sequence[Judged],
    drifts: Sequence[DriftFromBase],
    draws: int,
) -> Iterator[dict[str, Any]]:
    for number, one in enumerate(of_prompt):
        drift = drifts[prompt] if drifts and number == 0 else None
        yield {
            **_row(judged, side, prompt, number, one, competes=number < draws),
            **(_measured(drift) if drift is not None else {}),
            **_from_anchor(judged, side, prompt, number),
        }


def _row(
    judged: JudgedReplies, side: str, prompt: int, number: int, one: Judged, *, competes: bool
) -> dict[str, Any]:
    return {
        "side": side,
        "prompt": prompt,
        "elicits": judged.replies.rows[prompt].elicits,
        "draw": number,
        "competes": competes,
        "for_violations": False,
        "score": _finite(one.score),
        "broken": list(one.broken) if judged.rules else None,
        "chances": one.chances,
        "first_sentence_score": _finite(one.cut_score),
        "first_sentence_broken": list(one.cut_broken) if judged.rules else None,
        "first_sentence_chances": one.cut_chances,
        "tokens": one.draw.tokens,
        "finished": one.draw.reply.finished,
        "repetition": repetition(one.draw.reply.text),
        "empty": is_empty(one.draw.reply.text),
        "has_sentence": says_something(one.draw.reply.text, last_user_text(judged.replies.rows[prompt].prompt)),
        "script": script_of(one.draw.reply.text),
        "prompt_script": script_of(last_user_text(judged.replies.rows[prompt].prompt)),
        **dict.fromkeys(MEASURED),
    }


def _from_anchor(judged: JudgedReplies, side: str, prompt: int, number: int) -> dict[str, float | None]:
    """Of the policy's first replies."""
    anchor = judged.replies.anchor
    if anchor is None or side != "after" or number:
        return {}
    return {f"anchor_{name}": value for name, value in _measured(anchor.after_drift[prompt]).items()}


def _measured(drift: DriftFromBase) -> dict[str, float | None]:
    return {name: _finite(getattr(drift, name)) for name in MEASURED}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
