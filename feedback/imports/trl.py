"""Reads TRL's preference and unpaired preference rows, plain or conversational, this site's own columns beside.

The types are those of TRL's page "Dataset formats and types": (prompt, chosen, rejected) with the prompt left out
where both sides begin with it, and (prompt, completion, label). The column `weight` is not read: how much a judgement
weighs is decided here.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from feedback.imports import values
from feedback.imports.circumstances import circumstances
from feedback.imports.judgements import ImportedRanking, ImportedReply, ImportedThumb, Judgement, Turn
from feedback.imports.reasons import LeftOutReason, UnusableLine


def read_preference(line: Mapping[str, Any]) -> Iterator[Judgement | UnusableLine]:
    prompt, chosen, rejected = _sides(line)
    if chosen == rejected:
        raise UnusableLine(LeftOutReason.SAME_TEXT)
    margin = values.number(line.get("margin"), "margin")
    policies = [values.optional(line.get(f"{side}_policy"), f"{side}_policy") for side in ("chosen", "rejected")]
    yield ImportedRanking(
        prompt,
        [ImportedReply(chosen, policies[0]), ImportedReply(rejected, policies[1])],
        [1, 2],
        circumstances(line),
        shown=_shown(line.get("shown")),
        margins=[(0, 1, margin)] if margin else [],
    )


def _sides(line: Mapping[str, Any]) -> tuple[list[Turn], str, str]:
    if line.get("prompt") is None:
        sides = [values.turns(values.items(line.get(name), name), name) for name in ("chosen", "rejected")]
        return values.common_prompt(*sides)
    prompt = values.prompt(values.turns(line["prompt"], "prompt"))
    return prompt, *(values.reply_text(line.get(name), name) for name in ("chosen", "rejected"))  # type: ignore[return-value]


def _shown(value: object) -> list[int]:
    """Positions of the two in the order of the page, from the place of each on it."""
    if value in (None, []):
        return []
    if value not in ([0, 1], [1, 0]):
        raise UnusableLine(LeftOutReason.MISSING, "shown")
    return [0, 1] if value == [0, 1] else [1, 0]


def read_unpaired(line: Mapping[str, Any]) -> Iterator[Judgement | UnusableLine]:
    prompt = values.prompt(values.turns(line.get("prompt"), "prompt"))
    reply = ImportedReply(
        values.reply_text(line.get("completion"), "completion"), values.optional(line.get("policy"), "policy")
    )
    yield ImportedThumb(prompt, reply, values.truth(line.get("label"), "label"), circumstances(line))
