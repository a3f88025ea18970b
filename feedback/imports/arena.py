"""Reads Chatbot Arena's battles: two conversations of two models with one person, who named the winner."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from feedback.imports import values
from feedback.imports.judgements import Circumstances, ImportedRanking, ImportedReply, Judgement, Turn
from feedback.imports.reasons import LeftOutReason, UnusableLine

RANKS = {
    "model_a": [1, 2],
    "model_b": [2, 1],
    "tie": [1, 1],
    "tie (bothbad)": [1, 1],
    "both_bad": [1, 1],
    "bothbad": [1, 1],
}


def read(line: Mapping[str, Any]) -> Iterator[Judgement | UnusableLine]:
    winner = line.get("winner")
    if not isinstance(winner, str) or winner not in RANKS:
        raise UnusableLine(LeftOutReason.NO_CHOICE)
    prompt, one, other = values.common_prompt(_conversation(line, "a"), _conversation(line, "b"))
    yield ImportedRanking(
        prompt,
        [ImportedReply(one, _model(line, "a")), ImportedReply(other, _model(line, "b"))],
        RANKS[winner],
        Circumstances(
            annotator=values.optional(line.get("judge", line.get("evaluation_session_id")), "judge"),
            language=values.language(line.get("language")),
        ),
        shown=[0, 1],
    )


def _conversation(line: Mapping[str, Any], side: str) -> list[Turn]:
    """As a list, or as a list in a string."""
    about = f"conversation_{side}"
    value = line.get(about)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise UnusableLine(LeftOutReason.MISSING, about) from None
    return values.turns(values.items(value, about), about)


def _model(line: Mapping[str, Any], side: str) -> str:
    return values.optional(line.get(f"model_{side}"), f"model_{side}")
