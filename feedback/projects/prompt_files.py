"""Reads the prompts of a project from JSONL, CSV or pasted lines, with every line that is wrong and why."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from feedback.models import Prompt
from feedback.projects.errors import LineError, PromptFileRefused
from feedback.projects.languages import is_code
from feedback.prompts import Turn, language_of

FORMATS = ("jsonl", "csv", "lines")
FIELDS = ("prompt", "messages", "system", "language", "tags", "side", "replies")
MAX_TURNS, MAX_REPLIES, MAX_TAGS, MAX_TAG_CHARS = 40, 16, 20, 60
SIDES = {"train": Prompt.Split.TRAIN, "held_out": Prompt.Split.HELD_OUT, "held-out": Prompt.Split.HELD_OUT, "": ""}
BOM = "\ufeff"
Bounds = tuple[int, int]
"""At least, at most."""
NO_REPLIES: Bounds = (0, 0)


@dataclass(frozen=True)
class PromptLine:
    """One prompt as a file gives it."""

    line: int
    messages: list[Turn]
    language: str
    tags: list[str] = field(default_factory=list)
    side: str = ""
    """A value of Prompt.Split; empty: by the share."""
    replies: list[str] = field(default_factory=list)
    """Each text once."""


class _Wrong(Exception):
    """What is wrong with a line."""


def format_of(name: str, text: str) -> str:
    """By the file's ending, else by how the text begins."""
    for ending, found in ((".jsonl", "jsonl"), (".ndjson", "jsonl"), (".csv", "csv"), (".txt", "lines")):
        if name.lower().endswith(ending):
            return found
    return "jsonl" if text.lstrip(BOM).lstrip().startswith("{") else "lines"


def decoded(content: bytes) -> str:
    """Raises PromptFileRefused if it is too large, or not UTF-8."""
    check_size(len(content))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise PromptFileRefused([LineError(line, _("This is not UTF-8. Save the file as UTF-8."))]) from None


def check_size(size_bytes: int) -> None:
    """Raises PromptFileRefused."""
    if size_bytes > settings.FEEDBACK_PROJECT_BYTES:
        megabytes = settings.FEEDBACK_PROJECT_BYTES / 1_000_000
        raise PromptFileRefused([LineError(0, _("The file is larger than %(n)g MB.") % {"n": megabytes})])


def with_side(lines: Sequence[PromptLine], side: str) -> list[PromptLine]:
    """The same, on this side where a line does not say one."""
    return [replace(line, side=line.side or side) for line in lines]


def read(text: str, kind: str, *, replies: Bounds = NO_REPLIES, language: str = "") -> list[PromptLine]:
    """The prompts of a text in one of FORMATS. `replies`: how many different ones each has to have, at least and at
    most; none where others write them. `language`: of those that do not say theirs, else as they are written.
    Raises PromptFileRefused with every line that is wrong."""
    readers: dict[str, Callable[[str], Iterator[tuple[int, Any]]]] = {
        "jsonl": _jsonl,
        "csv": _csv,
        "lines": _pasted,
    }
    found: list[PromptLine] = []
    wrong: list[LineError] = []
    for number, given in readers[kind](text.lstrip(BOM)):
        try:
            found.append(_prompt_line(number, given, replies, language))
        except _Wrong as error:
            wrong.append(LineError(number, str(error)))
        if len(found) > settings.FEEDBACK_PROJECT_PROMPTS:
            most = settings.FEEDBACK_PROJECT_PROMPTS
            wrong.append(LineError(number, _("There are more than %(n)d prompts.") % {"n": most}))
            break
    if not found and not wrong:
        wrong.append(LineError(0, _("There is no prompt in it.")))
    if wrong:
        raise PromptFileRefused(wrong)
    return found


# --- the formats ----------------------------------------------------------------------------------


def _jsonl(text: str) -> Iterator[tuple[int, Any]]:
    # Not splitlines(): a JSON text may contain U+2028 and the like.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError):
                yield number, _Wrong(_("This is not JSON."))


def _csv(text: str) -> Iterator[tuple[int, Any]]:
    """Columns: prompt, system, language, tags (with semicolons between them), side, and reply_1, reply_2 ..."""
    # What a cell may hold is limited below, in characters and with words of ours.
    csv.field_size_limit(max(csv.field_size_limit(), settings.FEEDBACK_PROJECT_BYTES))
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    while True:
        number = rows.line_num + 1
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error:
            yield number, _Wrong(_("This is not CSV: a quotation mark is missing or out of place."))
            return
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = [cell.strip().lower() for cell in cells]
            if wrong := _wrong_header(header):
                yield number, _Wrong(wrong)
                return
        else:
            yield number, _row(header, cells)


def _wrong_header(header: Sequence[str]) -> str:
    unknown = [name for name in header if name not in FIELDS and not _is_reply(name)]
    if "prompt" not in header:
        return _("The first line names the columns, and one of them has to be “prompt”.")
    if len(set(header)) < len(header):
        return _("Two columns have the same name.")
    if unknown or "messages" in header or "replies" in header:
        return _("Unknown column: %(name)s.") % {"name": ", ".join(unknown or ["messages, replies"])[:100]}
    return ""


def _is_reply(name: str) -> bool:
    number = name.removeprefix("reply_")
    return name.startswith("reply_") and number.isascii() and number.isdigit()


def _row(header: Sequence[str], cells: Sequence[str]) -> Any:
    if len(cells) > len(header):
        return _Wrong(_("There are more cells than columns."))
    row = dict(zip(header, cells, strict=False))
    replies = [cell for name, cell in row.items() if _is_reply(name) and cell.strip()]
    tags = [tag for tag in row.pop("tags", "").split(";") if tag.strip()]
    plain = {name: cell for name, cell in row.items() if not _is_reply(name) and (cell.strip() or name == "prompt")}
    return {**plain, "tags": tags, "replies": replies}


def _pasted(text: str) -> Iterator[tuple[int, Any]]:
    """Each line that is not empty is a prompt."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, {"prompt": line.strip()}


# --- what a line has to be ------------------------------------------------------------------------


def _prompt_line(number: int, given: Any, replies: Bounds, language: str) -> PromptLine:
    """Raises _Wrong."""
    if isinstance(given, _Wrong):
        raise given
    if not isinstance(given, dict):
        raise _Wrong(_('A line has to be an object: {"prompt": …}.'))
    if unknown := [str(name) for name in given if name not in FIELDS]:
        raise _Wrong(_("Unknown field: %(name)s.") % {"name": ", ".join(unknown)[:100]})
    messages = _messages(given)
    return PromptLine(
        line=number,
        messages=messages,
        language=_language(given, language or language_of(messages[-1]["content"])),
        tags=_tags(given.get("tags") or []),
        side=_side(given.get("side") or ""),
        replies=_replies(given.get("replies") or [], replies),
    )


def _messages(given: Mapping[str, Any]) -> list[Turn]:
    if ("prompt" in given) == ("messages" in given):
        raise _Wrong(_("A line needs either “prompt” or “messages”."))
    turns = given["messages"] if "messages" in given else [{"role": "user", "content": given["prompt"]}]
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise _Wrong(_("“messages” has to be a list of objects with “role” and “content”."))
    if given.get("system"):
        turns = [{"role": "system", "content": given["system"]}, *turns]
    if len(turns) > MAX_TURNS:
        raise _Wrong(_("There are more than %(n)d turns.") % {"n": MAX_TURNS})
    found = [{"role": _role(turn), "content": _checked(turn.get("content"))} for turn in turns]
    _check_order([turn["role"] for turn in found])
    return found


def _role(turn: Mapping[str, Any]) -> str:
    role = turn.get("role")
    if role not in ("system", "user", "assistant"):
        raise _Wrong(_("A role has to be system, user or assistant."))
    return str(role)


def _check_order(roles: Sequence[str]) -> None:
    """A system prompt may come first; then user and assistant take turns, and the user has the last word."""
    turns = roles[1:] if roles[:1] == ["system"] else roles
    if len(turns) % 2 == 0 or any(role != ("user", "assistant")[place % 2] for place, role in enumerate(turns)):
        raise _Wrong(
            _("After a system prompt, if any, user and assistant take turns, and the last turn is the user's.")
        )


def _checked(text: Any) -> str:
    """A text that can be stored. Raises _Wrong."""
    if not isinstance(text, str) or not text.strip():
        raise _Wrong(_("A text is empty or is not text."))
    if len(text) > settings.FEEDBACK_PROJECT_TEXT_CHARS:
        most = settings.FEEDBACK_PROJECT_TEXT_CHARS
        raise _Wrong(_("A text is longer than %(n)d characters.") % {"n": most})
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise _Wrong(_("A text contains a character that cannot be stored."))
    return text


def _language(given: Mapping[str, Any], otherwise: str) -> str:
    code = given.get("language") or otherwise
    if not is_code(code):
        raise _Wrong(_("A language has to be a code such as en or ko."))
    return str(code)


def _tags(tags: Any) -> list[str]:
    if not isinstance(tags, list) or len(tags) > MAX_TAGS:
        raise _Wrong(_("“tags” has to be a list of at most %(n)d words.") % {"n": MAX_TAGS})
    found = [_checked(tag).strip() for tag in tags]
    if any(len(tag) > MAX_TAG_CHARS for tag in found):
        raise _Wrong(_("A tag is longer than %(n)d characters.") % {"n": MAX_TAG_CHARS})
    return list(dict.fromkeys(found))


def _side(side: Any) -> str:
    if not isinstance(side, str) or side.strip().lower() not in SIDES:
        raise _Wrong(_("“side” has to be train or held_out."))
    return str(SIDES[side.strip().lower()])


def _replies(replies: Any, bounds: Bounds) -> list[str]:
    least, most = bounds
    if not most:
        if replies:
            raise _Wrong(_("It has replies, but others are to write them. Choose that the replies are in the file."))
        return []
    if not isinstance(replies, list) or len(replies) > MAX_REPLIES:
        raise _Wrong(
            _("“replies” has to be a list of %(least)d to %(n)d texts.") % {"least": least, "n": MAX_REPLIES}
        )
    alike: dict[str, str] = {}
    for reply in replies:
        text = _checked(reply)
        alike.setdefault(" ".join(text.split()), text)
    if len(alike) < least:
        raise _Wrong(
            ngettext("It needs a reply.", "It needs at least %(n)d replies that differ.", least) % {"n": least}
        )
    if len(alike) > most:
        raise _Wrong(
            ngettext("It may have %(n)d reply alone.", "It may have %(n)d replies at most.", most) % {"n": most}
        )
    return list(alike.values())
