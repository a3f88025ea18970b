"""Reads what a site like this one has exported (rlhf.exports): rankings, flags, and replies to be taught."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from feedback.imports import values
from feedback.imports.circumstances import circumstances
from feedback.imports.judgements import ImportedDemonstration, ImportedFlag, ImportedRanking, ImportedReply, Judgement
from feedback.imports.reasons import LeftOutReason, UnusableLine


def read_rankings(line: Mapping[str, Any]) -> Iterator[Judgement | UnusableLine]:
    replies = [_reply(one, "completions") for one in values.items(line.get("completions"), "completions")]
    places = [values.whole(one, "ranks", low=1) for one in values.items(line.get("ranks"), "ranks")]
    ranks = values.ranks(places)
    if len(ranks) != len(replies) or None in line["ranks"]:
        raise UnusableLine(LeftOutReason.RANKS)
    yield ImportedRanking(
        values.prompt(values.turns(line.get("prompt"), "prompt")),
        replies,
        ranks,
        circumstances(line),
        _shown(line.get("shown") or [], len(replies)),
        [_margin(one, len(replies)) for one in values.items(line.get("margins") or [], "margins")],
    )


def read_flags(line: Mapping[str, Any]) -> Iterator[Judgement | UnusableLine]:
    yield ImportedFlag(
        values.prompt(values.turns(line.get("prompt"), "prompt")),
        _reply(line.get("completion"), "completion"),
        values.text(line.get("rule"), "rule", most=60),
        values.text(line.get("rule_text") or "", "rule_text"),
        values.truth(line.get("label"), "label"),
        circumstances(line),
    )


def read_demonstrations(line: Mapping[str, Any]) -> Iterator[Judgement | UnusableLine]:
    """Rows of TRL's prompt-completion format, this site's own columns beside where there are any."""
    original = values.text(line.get("original") or "", "original")
    policy = values.optional(line.get("policy"), "policy")
    yield ImportedDemonstration(
        values.prompt(values.turns(line.get("prompt"), "prompt")),
        values.reply_text(line.get("completion"), "completion"),
        ImportedReply(original, policy) if original else None,
        values.optional(line.get("source"), "source", most=20),
        policy,
        circumstances(line),
    )


def _reply(value: object, about: str) -> ImportedReply:
    if isinstance(value, str):
        return ImportedReply(values.text(value, about))
    found = values.mapping(value, about)
    return ImportedReply(
        values.text(found.get("text"), f"{about}.text"),
        values.optional(found.get("policy"), f"{about}.policy"),
        values.optional(found.get("finish_reason", "stop"), f"{about}.finish_reason", most=20),
    )


def _shown(value: object, count: int) -> list[int]:
    found = [values.whole(one, "shown") for one in values.items(value, "shown")]
    if found and sorted(found) != list(range(count)):
        raise UnusableLine(LeftOutReason.MISSING, "shown")
    return found


def _margin(value: object, count: int) -> tuple[int, int, float]:
    found: Sequence[Any] | Mapping[str, Any]
    found = values.mapping(value, "margins")
    places = [values.whole(found.get(name), "margins", high=count - 1) for name in ("better", "worse")]
    return places[0], places[1], values.number(found.get("margin"), "margins")
