"""Pairs of replies for people to compare, one of the policy and one of the baseline, with the judge's choice."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlhf.training.evaluation.judged import Judged, JudgedReplies

FILE = "pairs.jsonl"


def write(judged: JudgedReplies, directory: Path, *, draws: int) -> None:
    """Writes every pair that competes: first the first draws of all prompts, whose order the seed drew, then the next
    ones, so that any number from the top is a sample at random of as many prompts as there are."""
    draft = directory / f"{FILE}.tmp"
    draft.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in _rows(judged, draws=draws)))
    draft.replace(directory / FILE)


def _rows(judged: JudgedReplies, *, draws: int) -> Iterator[dict[str, Any]]:
    for draw in range(draws):
        for prompt, row in enumerate(judged.replies.rows):
            after, before = judged.after[prompt][draw], judged.before[prompt][draw]
            yield {
                "prompt": prompt,
                "draw": draw,
                "prompt_sha256": row.name,
                "system_prompt": next((text for role, text in row.prompt[:1] if role == "system"), ""),
                "after": _reply(after),
                "before": _reply(before),
                "predicted": 0.5 if after.score == before.score else float(after.score > before.score),
            }


def _reply(one: Judged) -> dict[str, Any]:
    return {"text": one.draw.reply.text, "finished": one.draw.reply.finished}
