"""Reads JSONL, CSV, TSV, XLSX and text files line by line as training rows. Nothing in them is trusted.

Three forms of rows: `{"prompt", "completion"}`, `{"messages": [{"role", "content"}, ...]}` and
`{"prompt", "chosen", "rejected"}`. OpenAI's `input`, `preferred_output` and `non_preferred_output` are read, too.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.utils.translation import gettext as _

from chat.prompts.rendering import ROLES
from fine_tuning.data import excel
from fine_tuning.data.tables import named_rows
from fine_tuning.errors import LineProblem

PROMPT_COMPLETION, MESSAGES, PREFERENCE = "prompt_completion", "messages", "preference"
FORMS = (PROMPT_COMPLETION, MESSAGES, PREFERENCE)
MAX_LINE_BYTES = 2**20
PACKED = (b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"Rar!", b"7z\xbc\xaf")
"""First bytes of archives, which are refused, not unpacked."""
KINDS = {".csv": "csv", ".tsv": "tsv", ".xlsx": "xlsx", ".txt": "txt"}

Row = dict[str, Any]


@dataclass(frozen=True)
class FileLine:
    """A line of the file: a row and its form, or why it cannot be used."""

    number: int
    form: str = ""
    row: Row | None = None
    problem: LineProblem | None = None


class BadLine(Exception):
    """A line that is no row, with the code and the text of its problem."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


def _kind_of(filename: str) -> str:
    """jsonl, csv, tsv, xlsx or txt, by the file extension; JSONL for any other."""
    return KINDS.get(Path(filename).suffix.lower(), "jsonl")


def lines(path: Path, filename: str) -> Iterator[FileLine]:
    """Every line of the file, in order; at the first line beyond the limit a problem, and then no more."""
    count, limit = 0, settings.UPLOAD_LINES
    for number, raw in _raw_lines(path, _kind_of(filename)):
        if isinstance(raw, LineProblem):
            yield FileLine(number, problem=raw)
            continue
        count += 1
        if count > limit:
            yield FileLine(number, problem=_too_many(number, limit))
            return
        yield _checked(number, raw)


def _too_many(number: int, limit: int) -> LineProblem:
    return LineProblem(number, "too_many_lines", _("more than %(limit)d lines; split the file") % {"limit": limit})


def _raw_lines(path: Path, kind: str) -> Iterator[tuple[int, Any]]:
    """(number, the line's content or a LineProblem)."""
    with path.open("rb") as file:
        start = file.read(8)
        file.seek(0)
        if kind == "xlsx":
            yield from excel.rows(path)
        elif start.startswith(PACKED):
            yield 1, LineProblem(1, "packed", _("this is an archive; unpack it first"))
        elif kind == "jsonl":
            yield from _json_lines(file)
        elif kind == "txt":
            yield from _text_lines(file)
        else:
            yield from _table_lines(file, "\t" if kind == "tsv" else ",")


def _checked(number: int, raw: Any) -> FileLine:
    try:
        form, row = row_of(raw)
    except BadLine as error:
        return FileLine(number, problem=LineProblem(number, error.code, error.text))
    return FileLine(number, form, row)


# --- kinds of files -----------------------------------------------------------------------------------------------


def _text_of(number: int, raw: bytes) -> str | LineProblem:
    if len(raw) > MAX_LINE_BYTES:
        return LineProblem(number, "line_too_long", _("longer than %(size)d KB") % {"size": MAX_LINE_BYTES // 1024})
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return LineProblem(number, "not_utf8", _("byte %(place)d is not UTF-8") % {"place": error.start + 1})
    return text.removeprefix("\ufeff") if number == 1 else text


def _bounded(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Lines of the file; one that is too long is cut just beyond the limit."""
    number = 0
    while raw := file.readline(MAX_LINE_BYTES + 2):
        number += 1
        yield number, raw
        while not raw.endswith(b"\n") and len(raw) == MAX_LINE_BYTES + 2:
            raw = file.readline(MAX_LINE_BYTES + 2)


def _json_lines(file: IO[bytes]) -> Iterator[tuple[int, Any]]:
    for number, raw in _bounded(file):
        if not raw.strip():
            continue
        text = _text_of(number, raw)
        if isinstance(text, LineProblem):
            yield number, text
            continue
        try:
            yield number, json.loads(text, parse_constant=_refuse_constant)
        except RecursionError:
            yield number, LineProblem(number, "too_deep", _("nested too deeply"))
        except ValueError as error:
            code = "truncated" if not raw.endswith(b"\n") else "not_json"
            yield number, LineProblem(number, code, _broken(code, error))


def _broken(code: str, error: ValueError) -> str:
    if code == "truncated":
        return _("not valid JSON; the file seems to end early")
    return _("not valid JSON: %(why)s") % {"why": str(error)[:120]}


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _text_lines(file: IO[bytes]) -> Iterator[tuple[int, Any]]:
    """One example a line, without a prompt."""
    for number, raw in _bounded(file):
        text = _text_of(number, raw)
        if isinstance(text, LineProblem):
            yield number, text
        elif text.strip():
            yield number, {"prompt": "", "completion": text.rstrip("\r\n")}


def _table_lines(file: IO[bytes], delimiter: str) -> Iterator[tuple[int, Any]]:
    failed: list[LineProblem] = []
    reader = csv.reader(_decoded(file, failed), delimiter=delimiter, strict=True)
    try:
        yield from named_rows((reader.line_num, cells) for cells in reader)
    except csv.Error as error:
        number = max(1, reader.line_num)
        yield number, LineProblem(number, "not_a_table", _("not a table: %(why)s") % {"why": str(error)[:120]})
    yield from ((problem.line, problem) for problem in failed)


def _decoded(file: IO[bytes], failed: list[LineProblem]) -> Iterator[str]:
    """The lines as text, up to the first that cannot be decoded, whose problem goes into `failed`."""
    for number, raw in _bounded(file):
        text = _text_of(number, raw)
        if isinstance(text, LineProblem):
            failed.append(text)
            return
        yield text


# --- what a line may be -------------------------------------------------------------------------------------------


def row_of(raw: Any) -> tuple[str, Row]:
    """The line's form, and the row with the fields of that form only. Raises BadLine."""
    if not isinstance(raw, dict):
        raise BadLine("not_an_object", _("not a JSON object"))
    if "messages" in raw:
        return MESSAGES, {"messages": _conversation(raw["messages"])}
    if "preferred_output" in raw or "non_preferred_output" in raw:
        return PREFERENCE, _openai_preference(raw)
    if "chosen" in raw or "rejected" in raw:
        return PREFERENCE, _preference(raw)
    if "completion" in raw:
        return PROMPT_COMPLETION, {
            "prompt": _text_in(raw.get("prompt", ""), "prompt"),
            "completion": _text_in(raw["completion"], "completion"),
        }
    raise BadLine("missing_key", _("neither completion, messages, nor chosen and rejected is present"))


def _preference(raw: Mapping[str, Any]) -> Row:
    prompt = raw.get("prompt", "")
    given = _turns(prompt, "prompt") if isinstance(prompt, list) else _text_in(prompt, "prompt")
    chosen, rejected = _reply_in(raw.get("chosen"), "chosen"), _reply_in(raw.get("rejected"), "rejected")
    if chosen == rejected:
        raise BadLine("no_preference", _("chosen and rejected are the same"))
    return {"prompt": given, "chosen": chosen, "rejected": rejected}


def _openai_preference(raw: Mapping[str, Any]) -> Row:
    given = raw.get("input")
    return _preference(
        {
            "prompt": given.get("messages") if isinstance(given, dict) else None,
            "chosen": raw.get("preferred_output"),
            "rejected": raw.get("non_preferred_output"),
        }
    )


def _reply_in(value: Any, name: str) -> str:
    """A reply, given as text or as a single turn of the assistant."""
    if isinstance(value, list):
        given = _turns(value, name)
        if len(given) != 1 or given[0]["role"] != "assistant":
            raise BadLine("wrong_turns", _("%(name)s must be a single assistant message") % {"name": name})
        value = given[0]["content"]
    reply = _text_in(value, name)
    if not reply:
        raise BadLine("missing_key", _("%(name)s is missing or empty") % {"name": name})
    return reply


def _turns(value: Any, name: str) -> list[Row]:
    if not isinstance(value, list) or not value:
        raise BadLine("wrong_turns", _("%(name)s must be a list of messages") % {"name": name})
    return [_turn_in(turn, f"{name}.{index}") for index, turn in enumerate(value)]


def _conversation(value: Any) -> list[Row]:
    """Turns; those of the assistant may have a weight, and weight 0 is not trained on."""
    given = _turns(value, "messages")
    if [turn["role"] for turn in given[:1]] == ["assistant"] and sum(t["role"] == "assistant" for t in given) == 1:
        raise BadLine("wrong_turns", _("there is no text before the answer"))
    for index, (turn, raw) in enumerate(zip(given, value, strict=True)):
        weight = raw.get("weight")
        if weight not in (None, 0, 1):
            raise BadLine("wrong_weight", _("%(name)s.weight must be 0 or 1") % {"name": f"messages.{index}"})
        if weight is not None and turn["role"] == "assistant":
            turn["weight"] = int(weight)
    return given


def _turn_in(value: Any, name: str) -> Row:
    if not isinstance(value, dict) or value.get("role") not in ROLES:
        roles = ", ".join(ROLES)
        raise BadLine("wrong_role", _("%(name)s needs a role of %(roles)s") % {"name": name, "roles": roles})
    content = value.get("content")
    if isinstance(content, list):
        content = "".join(_part_text(part, name) for part in content)
    return {"role": value["role"], "content": _text_in(content, f"{name}.content")}


def _part_text(part: Any, name: str) -> str:
    if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
        raise BadLine("not_text", _("%(name)s.content contains something other than text") % {"name": name})
    return str(part["text"])


def _text_in(value: Any, name: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadLine("not_text", _("%(name)s is not text") % {"name": name})
    if "\0" in value or not _is_encodable(value):
        raise BadLine("not_text", _("%(name)s contains characters that are not text") % {"name": name})
    return value


def _is_encodable(text: str) -> bool:
    """JSON can spell a lone surrogate, which is no character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
