"""Reads the JSON lines of a fine-tune's file: prompts, raw or as turns, with the wanted answers."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
Turns = tuple[tuple[str, str], ...]
"""(role, content) of each message."""


@dataclass
class BadRow(Exception):
    """A line that is not in the form that the run's configuration names."""

    path: Path
    line: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line} of {self.path.name}: {self.reason}"


@dataclass
class NoRows(Exception):
    """A file without a row."""

    path: Path

    def __str__(self) -> str:
        return f"{self.path.name} holds no row to learn from"


@dataclass(frozen=True)
class DataRow:
    """`prompt` is raw text to be continued, or the turns before the last answer."""

    prompt: str | Turns
    completion: str
    rejected: str | None = None
    """The rejected answer of a preference."""
    learns_turns: bool = False
    """Whether the assistant's turns within the prompt are targets, too."""
    unlearnt: frozenset[int] = frozenset()
    """Assistant turns of weight 0, counted over prompt and completion."""


def read_rows(path: Path, form: str) -> list[DataRow]:
    """Every row of a file. Raises BadRow with the line's number, and NoRows."""
    return _read(path, PARSERS[form])


def read_prompts(path: Path, form: str) -> list[DataRow]:
    """The prompts alone, as rows without a completion."""
    return _read(path, PROMPTS[form])


def _read(path: Path, parse: Callable[[Mapping[str, Any]], DataRow]) -> list[DataRow]:
    rows = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                rows.append(_row(path, number, line, parse))
    if not rows:
        raise NoRows(path)
    return rows


def _row(path: Path, number: int, line: str, parse: Callable[[Mapping[str, Any]], DataRow]) -> DataRow:
    try:
        return parse(json.loads(line))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise BadRow(path, number, reason) from error


def _prompt_completion(row: Mapping[str, Any]) -> DataRow:
    return DataRow(_text(row.get("prompt") or ""), _text(row["completion"]))


def _messages(row: Mapping[str, Any]) -> DataRow:
    """Messages after the last answer are left out."""
    turns = _turns(row["messages"])
    answers = [index for index, (role, _) in enumerate(turns) if role == "assistant"]
    if not answers:
        raise ValueError("no assistant message to train on")
    if answers[-1] == 0:
        raise ValueError("there is no text before the answer")
    last = answers[-1]
    unlearnt = frozenset(index for index in answers if row["messages"][index].get("weight") == 0)
    return DataRow(turns[:last], turns[last][1], learns_turns=True, unlearnt=unlearnt)


def _preference(row: Mapping[str, Any]) -> DataRow:
    prompt = row["prompt"]
    turns = prompt if isinstance(prompt, str) else _turns(prompt)
    return DataRow(turns, _answer(row["chosen"]), _answer(row["rejected"]))


PARSERS: dict[str, Callable[[Mapping[str, Any]], DataRow]] = {
    "prompt_completion": _prompt_completion,
    "messages": _messages,
    "preference": _preference,
}


def _chat_prompt(row: Mapping[str, Any]) -> DataRow:
    """The turns without an answer at their end."""
    turns = _turns(row["messages"])
    turns = turns[:-1] if turns[-1][0] == "assistant" else turns
    if not turns:
        raise ValueError("there is no text before the answer")
    return DataRow(turns, "")


def _prompt(row: Mapping[str, Any]) -> DataRow:
    prompt = row.get("prompt") or ""
    return DataRow(prompt if isinstance(prompt, str) else _turns(prompt), "")


PROMPTS: dict[str, Callable[[Mapping[str, Any]], DataRow]] = {
    "prompt_completion": _prompt,
    "messages": _chat_prompt,
    "preference": _prompt,
}


def _answer(value: Any) -> str:
    """Text, or turns of which the last is the answer."""
    return value if isinstance(value, str) else _turns(value)[-1][1]


def _turns(messages: Any) -> Turns:
    found = tuple((str(message["role"]), _text(message.get("content") or "")) for message in messages)
    for role, _ in found:
        if role not in ROLES:
            raise ValueError(f"no such role: {role!r}")
    if not found:
        raise ValueError("no message")
    return found


def _text(value: Any) -> str:
    """Text, also where it comes as a list of parts."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(part["text"] for part in value)
    raise TypeError(f"{value!r} is not text")
