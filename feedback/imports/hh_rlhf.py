"""Reads pairs of hh-rlhf: two transcripts with `Human:` and `Assistant:`, which differ in the last reply."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from feedback.imports import values
from feedback.imports.judgements import ImportedRanking, ImportedReply, Judgement, Turn
from feedback.imports.reasons import LeftOutReason, UnusableLine

SPEAKER = re.compile(r"\n\n(Human|Assistant):[ ]?")
ROLES = {"Human": "user", "Assistant": "assistant"}


def read(line: Mapping[str, Any]) -> Iterator[Judgement | UnusableLine]:
    sides = [_turns(values.text(line.get(name), name), name) for name in ("chosen", "rejected")]
    prompt, chosen, rejected = values.common_prompt(*sides)
    if chosen == rejected:
        raise UnusableLine(LeftOutReason.SAME_TEXT)
    yield ImportedRanking(prompt, [ImportedReply(chosen), ImportedReply(rejected)], [1, 2])


def _turns(transcript: str, about: str) -> list[Turn]:
    before, *spoken = SPEAKER.split(transcript)
    if before.strip() or not spoken:
        raise UnusableLine(LeftOutReason.MISSING, about)
    return [
        {"role": ROLES[speaker], "content": said.strip()}
        for speaker, said in zip(spoken[::2], spoken[1::2], strict=True)
    ]
