"""Reads values out of JSON that anybody may have written: each is checked, or its line is left out."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from feedback.imports.judgements import MOST_REPLIES, Turn
from feedback.imports.reasons import LeftOutReason, UnusableLine
from feedback.judgements.rankings import dense

MOST_CHARACTERS = 100_000
MOST_TURNS = 100
ROLES = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "bot", "model"), "assistant"),
    "system": "system",
}
LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z]{2,4})?")
NAMED = {"english": "en", "korean": "ko", "chinese": "zh", "japanese": "ja", "german": "de", "french": "fr"}
NAMED |= {"spanish": "es", "russian": "ru", "portuguese": "pt", "italian": "it", "vietnamese": "vi", "polish": "pl"}


def text(value: object, about: str, *, most: int = MOST_CHARACTERS) -> str:
    """A string that every database stores. It may hold what looks like control tokens: texts are tokenised as plain
    text (rlhf.training.tokens), so it never becomes one."""
    if not isinstance(value, str):
        raise UnusableLine(LeftOutReason.MISSING, about)
    if len(value) > most:
        raise UnusableLine(LeftOutReason.TOO_LONG, about)
    if "\x00" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise UnusableLine(LeftOutReason.FORBIDDEN, about)
    return value


def optional(value: object, about: str, *, most: int = 200) -> str:
    """A short string; empty where there is none. Numbers are names, too."""
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return text(value, about, most=most)


def number(value: object, about: str) -> float:
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnusableLine(LeftOutReason.MISSING, about)
    found = float(value) if abs(value) < 1e15 else math.inf
    if not math.isfinite(found):
        raise UnusableLine(LeftOutReason.MISSING, about)
    return found


def whole(value: object, about: str, *, low: int = 0, high: int = 32767) -> int:
    if value is None:
        return low
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UnusableLine(LeftOutReason.MISSING, about)
    return value


def truth(value: object, about: str) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    raise UnusableLine(LeftOutReason.MISSING, about)


def mapping(value: object, about: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UnusableLine(LeftOutReason.MISSING, about)
    return value


def items(value: object, about: str) -> Sequence[Any]:
    if not isinstance(value, list):
        raise UnusableLine(LeftOutReason.MISSING, about)
    return value


def language(value: object) -> str:
    """A code such as `en` or `pt-BR`; empty for what is none."""
    code = value if isinstance(value, str) else ""
    code = NAMED.get(code.strip().lower(), code.strip())
    return code if LANGUAGE.fullmatch(code) else ""


def turns(value: object, about: str) -> list[Turn]:
    """A conversation as [{"role", "content"}]; a bare text is a question."""
    if isinstance(value, str):
        return [{"role": "user", "content": text(value, about)}]
    found = [_turn(turn, about) for turn in items(value, about)]
    if len(found) > MOST_TURNS:
        raise UnusableLine(LeftOutReason.TOO_LONG, about)
    return found


def _turn(value: object, about: str) -> Turn:
    turn = mapping(value, about)
    role = turn.get("role", turn.get("from"))
    if not isinstance(role, str) or role not in ROLES:
        raise UnusableLine(LeftOutReason.MISSING, f"{about}.role")
    return {"role": ROLES[role], "content": text(turn.get("content", turn.get("value")), f"{about}.content")}


def prompt(found: list[Turn]) -> list[Turn]:
    """Instructions if any, then user and assistant in turn, the user last: what every chat template accepts."""
    spoken = found[1:] if found and found[0]["role"] == "system" else found
    if not spoken or spoken[-1]["role"] != "user" or not spoken[-1]["content"].strip():
        raise UnusableLine(LeftOutReason.NO_PROMPT)
    if any(turn["role"] != ("user", "assistant")[place % 2] for place, turn in enumerate(spoken)):
        raise UnusableLine(LeftOutReason.TURNS)
    return found


def reply_text(value: object, about: str) -> str:
    """A completion: a text, or one turn of the assistant."""
    if isinstance(value, str):
        return text(value, about)
    found = turns(value, about)
    if len(found) != 1 or found[0]["role"] != "assistant":
        raise UnusableLine(LeftOutReason.TURNS, about)
    return found[0]["content"]


def common_prompt(one: list[Turn], other: list[Turn]) -> tuple[list[Turn], str, str]:
    """What two conversations have in common, and the last reply of each."""
    for turns_of_one in (one, other):
        if not turns_of_one or turns_of_one[-1]["role"] != "assistant":
            raise UnusableLine(LeftOutReason.NO_PROMPT)
    if one[:-1] != other[:-1]:
        raise UnusableLine(LeftOutReason.DIFFERENT_CONTEXT)
    return prompt(one[:-1]), one[-1]["content"], other[-1]["content"]


def ranks(places: Sequence[float]) -> list[int]:
    """Dense ranks of places, of which the least is best."""
    if len(places) < 2:
        raise UnusableLine(LeftOutReason.FEW_REPLIES)
    if len(places) > MOST_REPLIES:
        raise UnusableLine(LeftOutReason.MANY_REPLIES)
    return list(dense(dict(enumerate(places))).values())
