"""Replies with all that people said of each, for programs that watch replies rather than read data sets."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rlhf.snapshots.frozen_row import FrozenRow, Line
from rlhf.snapshots.rows import Frozen


@dataclass(frozen=True)
class ReplyJudgement:
    """What one person said of one reply."""

    key: str
    """32 hexadecimal digits; the same judgement has the same in every export, so that it is stored once."""
    name: str
    """rank, thumb, or breaks_<key of a rule>."""
    value: float | bool
    """A rank from 1, or whether it is so."""
    at: datetime
    annotator: str
    is_simulated: bool
    about: Mapping[str, str]


@dataclass
class WatchedReply:
    key: str
    """32 hexadecimal digits, by prompt, text and policy."""
    prompt: Sequence[Mapping[str, str]]
    text: str
    at: datetime
    """Of the first judgement."""
    about: Mapping[str, str]
    judgements: list[ReplyJudgement] = field(default_factory=list)


def judged_replies(frozen: Frozen, project: str | None = None) -> list[WatchedReply]:
    """In the order of the snapshot's lines. `project`: the key of one; None: of all."""
    found: dict[str, WatchedReply] = {}
    for entry, text, policy, judgement in _judgements(frozen):
        line = entry.line
        if project is not None and line.get("project") != project:
            continue
        key = _hashed(line["prompt"], text, policy)
        reply = found.get(key)
        if reply is None:
            reply = found[key] = WatchedReply(key, line["prompt"], text, judgement.at, _about(line, policy))
        reply.at = min(reply.at, judgement.at)
        reply.judgements.append(judgement)
    return list(found.values())


Found = tuple[FrozenRow[Any], str, str, ReplyJudgement]
"""With the reply's text and policy."""


def _judgements(frozen: Frozen) -> Iterator[Found]:
    rankings: list[FrozenRow[Any]] = [*frozen.ranked, *frozen.chosen]
    for entry in rankings:
        yield from _of_ranking(entry)
    for flag in frozen.flagged:
        line = flag.line
        name = f"breaks_{line['rule']}"
        yield (
            flag,
            line["completion"]["text"],
            line["policy"],
            _made(flag, name, bool(line["label"]), str(line["id"])),
        )
    for thumb in frozen.thumbed:
        (completion,) = thumb.line["completion"]
        text, policy = str(completion["content"]), str(thumb.line["policy"])
        yield thumb, text, policy, _made(thumb, "thumb", bool(thumb.line["label"]), f"thumb-{thumb.row.pk}")


def _of_ranking(entry: FrozenRow[Any]) -> Iterator[Found]:
    line = entry.line
    places = zip(line["completions"], line["policies"], line["ranks"], strict=True)
    for index, (completion, policy, rank) in enumerate(places):
        key = f"ranking-{line['id']}-{index}"
        about = {"ranking": str(line["id"]), "replies": str(len(line["ranks"]))}
        yield entry, completion["text"], policy, _made(entry, "rank", float(rank), key, about)


def _made(
    entry: FrozenRow[Any], name: str, value: float | bool, of: str, about: Mapping[str, str] | None = None
) -> ReplyJudgement:
    line = entry.line
    weight = {"weight": f"{line['weight']:g}", "split": str(line["split"])}
    kind = type(entry.row).__name__
    return ReplyJudgement(
        key=_hashed(kind, name, of),
        name=name,
        value=value,
        at=entry.row.created_at,
        annotator=line["annotator"],
        is_simulated=line["simulated"],
        about={**weight, "guidelines_version": str(line["guidelines_version"]), **(about or {})},
    )


def _about(line: Line, policy: str) -> dict[str, str]:
    names = ("project", "language", "consent", "consent_version", "imported_from")
    return {"policy": policy, **{name: str(line[name]) for name in names}}


def _hashed(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode(errors="replace")).hexdigest()[:32]
