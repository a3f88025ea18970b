"""Imports a conversation from the JSON that exporting.py writes, or reports every problem with its place.

Nobody knows who wrote such a file. So its replies do not count as replies of this site: they have no policy, they
cannot be judged, and nothing of the conversation is used for training (Message.never_train).
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from accounts import storage
from accounts.models import User
from chat import instructions
from chat.conversations import titles
from chat.conversations.exporting import FORMAT, REPLY_FIELDS, VERSION
from chat.models import Conversation, Message, Reply

MAX_BYTES = 32 * 2**20
MAX_MESSAGES = 10_000
MAX_TEXT_CHARS = 200_000
MAX_PROBLEMS = 10
MAX_NUMBER = 2**31 - 1
MAX_PARAMETER_CHARS = 20_000
BATCH = 500


@dataclass(frozen=True)
class ImportProblem:
    place: str
    """As in `messages[3].parent`, counted from 0; empty for the file as a whole."""
    text: str


class ImportRefused(Exception):
    """A file that is not imported, with at most MAX_PROBLEMS reasons."""

    def __init__(self, problems: list[ImportProblem]) -> None:
        super().__init__("; ".join(f"{problem.place}: {problem.text}" for problem in problems))
        self.problems = problems


@dataclass(frozen=True)
class ImportedMessage:
    """A message of the file, with the index of its parent among the messages."""

    parent: int | None
    role: str
    text: str
    created_at: datetime
    is_hidden: bool
    reply: dict[str, Any] | None


@dataclass(frozen=True)
class ImportedConversation:
    """A file that passed all checks."""

    title: str
    created_at: datetime
    tip: int | None
    messages: list[ImportedMessage]


def read(data: bytes) -> ImportedConversation:
    """The conversation in a file. Raises ImportRefused."""
    document = _document(data)
    checks = Checks()
    if document.get("format") != FORMAT:
        checks.add("format", _("this is not a conversation saved as JSON from this site"))
        checks.end()
    if document.get("version") != VERSION:
        checks.add("version", _("only version %(version)d can be read") % {"version": VERSION})
        checks.end()
    return checks.conversation(document)


def create(person: User, imported: ImportedConversation) -> Conversation:
    """Stores the tree as a new conversation of the person. Raises storage.QuotaSpent."""
    now = timezone.now()
    storage.check(person, sum(len(line.text.encode()) for line in imported.messages))
    with transaction.atomic():
        made = Conversation.objects.create(
            owner=person,
            title=imported.title,
            created_at=imported.created_at,
            updated_at=now,
            may_train=False,
            uses_instructions=instructions.stored(person).is_on,
        )
        rows = Message.objects.bulk_create(
            [
                Message(
                    conversation=made,
                    role=line.role,
                    text=line.text,
                    created_at=line.created_at,
                    hidden_at=now if line.is_hidden else None,
                    never_train=True,
                    imported=line.reply or {},
                )
                for line in imported.messages
            ],
            batch_size=BATCH,
        )
        for row, line in zip(rows, imported.messages, strict=True):
            row.parent = rows[line.parent] if line.parent is not None else None
        Message.objects.bulk_update([row for row in rows if row.parent], ["parent"], batch_size=BATCH)
        made.tip = rows[imported.tip] if imported.tip is not None else None
        made.save(update_fields=["tip"])
    return made


def stored_bytes(person: User) -> int:
    """What the person imported takes (accounts.storage), deleted conversations included until they are removed."""
    own = Message.objects.filter(conversation__owner=person).exclude(imported=None)
    return own.aggregate(sum=Sum(storage.OctetLength("text")))["sum"] or 0


def _document(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_BYTES:
        _refuse(_("the file is larger than %(size)d MB") % {"size": MAX_BYTES // 2**20})
    try:
        document = json.loads(
            data.decode("utf-8-sig"), parse_constant=_no_number, parse_float=_finite, object_pairs_hook=_once
        )
    except UnicodeDecodeError as error:
        _refuse(_("not UTF-8 text, from byte %(byte)d on") % {"byte": error.start})
    except json.JSONDecodeError as error:
        place = {"line": error.lineno, "column": error.colno}
        _refuse(_("not valid JSON: line %(line)d, column %(column)d") % place)
    except RecursionError:
        _refuse(_("nested too deeply"))
    except ValueError as error:  # raised by the three functions given above, or a number of thousands of digits
        _refuse(_("this JSON cannot be read: %(error)s") % {"error": str(error)[:200]})
    if not isinstance(document, dict):
        _refuse(_("a JSON object is required, { … }"))
    return document


def _refuse(text: str) -> NoReturn:
    raise ImportRefused([ImportProblem("", text)])


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text[:20]} is too large")
    return number


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(names := dict(pairs)) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _value in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"{twice[:40]!r} appears twice in one object")
    return names


@dataclass
class Checks:
    """Collects the problems of a document, up to MAX_PROBLEMS."""

    problems: list[ImportProblem] = field(default_factory=list)

    def add(self, place: str, text: str) -> None:
        self.problems.append(ImportProblem(place, text))
        if len(self.problems) >= MAX_PROBLEMS:
            self.end()

    def end(self) -> None:
        """Raises ImportRefused if anything was wrong."""
        if self.problems:
            raise ImportRefused(self.problems)

    def conversation(self, document: Mapping[str, Any]) -> ImportedConversation:
        title = titles.given(self.text(document, "title", "", titles.LONGEST_GIVEN))
        created_at = self.moment(document, "")
        lines = document.get("messages")
        if not isinstance(lines, list):
            self.add("messages", _("a list is required"))
        elif len(lines) > MAX_MESSAGES:
            self.add("messages", _("more than %(n)d messages") % {"n": MAX_MESSAGES})
        self.end()
        assert isinstance(lines, list)
        known: dict[int, tuple[int, str]] = {}  # the file's number: (place in the list, role)
        read = [self.message(line, f"messages[{index}]", index, known) for index, line in enumerate(lines)]
        tip = document.get("tip")
        if tip is not None and (not _is_number(tip) or tip not in known):
            self.add("tip", _("no message in the file has this number"))
        self.end()
        return ImportedConversation(title, created_at, known[tip][0] if tip is not None else None, read)

    def message(self, line: Any, place: str, index: int, known: dict[int, tuple[int, str]]) -> ImportedMessage:
        if not isinstance(line, dict):
            self.add(place, _("a JSON object is required, { … }"))
            line = {}
        role = line.get("role")
        if role not in (Message.Role.USER, Message.Role.ASSISTANT):
            self.add(f"{place}.role", _("only “user” and “assistant” are allowed here"))
        parent = self.parent(line, place, role, known)
        number = line.get("id")
        if not _is_number(number) or number in known:
            self.add(f"{place}.id", _("a whole number that no other message has is required"))
        else:
            known[number] = (index, str(role))
        if not isinstance(line.get("hidden", False), bool):
            self.add(f"{place}.hidden", _("only true and false are allowed here"))
        return ImportedMessage(
            parent=parent,
            role=str(role),
            text=self.text(line, "text", place, MAX_TEXT_CHARS),
            created_at=self.moment(line, place),
            is_hidden=line.get("hidden") is True,
            reply=self.reply(line.get("reply"), f"{place}.reply") if role == Message.Role.ASSISTANT else None,
        )

    def parent(
        self, line: Mapping[str, Any], place: str, role: Any, known: Mapping[int, tuple[int, str]]
    ) -> int | None:
        """The index of its parent: an earlier message of the other role."""
        number = line.get("parent")
        if number is None:
            if role == Message.Role.ASSISTANT:
                self.add(f"{place}.parent", _("a reply must follow a message"))
            return None
        if not _is_number(number) or number not in known:
            self.add(f"{place}.parent", _("no earlier message has this number"))
            return None
        index, above = known[number]
        if above == role:
            self.add(f"{place}.parent", _("a message cannot follow another one of the same role"))
        return index

    def reply(self, made: Any, place: str) -> dict[str, Any] | None:
        """The fields of a reply that an export has, and no others."""
        if made is None:
            return None
        if not isinstance(made, dict):
            self.add(place, _("a JSON object is required, { … }"))
            return None
        policy = made.get("policy")
        fields: dict[str, Any] = {"policy": self.text(made, "policy", place, 80) if policy is not None else None}
        for name in REPLY_FIELDS:
            fields[name] = self.reply_field(made, name, place)
        return fields

    def reply_field(self, made: Mapping[str, Any], name: str, place: str) -> Any:
        kind = Reply._meta.get_field(name)
        if name == "state":
            if made.get(name) not in Reply.State.values:
                self.add(f"{place}.state", _("not a valid state of a reply"))
            return made.get(name)
        if name == "parameters":
            return self.parameters(made.get(name, {}), f"{place}.{name}")
        if kind.get_internal_type() == "PositiveIntegerField":
            if not _is_number(made.get(name, 0)):
                self.add(f"{place}.{name}", _("a whole number is required"))
            return made.get(name, 0)
        longest = getattr(kind, "max_length", None) or MAX_TEXT_CHARS
        return self.text(made, name, place, longest) if name in made else ""

    def parameters(self, value: Any, place: str) -> Any:
        if not isinstance(value, dict):
            self.add(place, _("a JSON object is required, { … }"))
            return {}
        written = json.dumps(value, ensure_ascii=False)
        if len(written) > MAX_PARAMETER_CHARS or "\\u0000" in written or not _is_text(written):
            self.add(place, _("too long, or it contains characters that are not text"))
        return value

    def text(self, line: Mapping[str, Any], name: str, place: str, longest: int) -> str:
        where, text = f"{place}.{name}".lstrip("."), line.get(name)
        if not isinstance(text, str):
            self.add(where, _("text is required"))
        elif len(text) > longest:
            self.add(where, _("longer than %(n)d characters") % {"n": longest})
        elif not _is_text(text):
            self.add(where, _("it contains characters that are not text"))
        else:
            return text
        return ""

    def moment(self, line: Mapping[str, Any], place: str) -> datetime:
        where, text = f"{place}.created_at".lstrip("."), line.get("created_at")
        try:
            moment = parse_datetime(text) if isinstance(text, str) else None
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None or not 1970 <= moment.year <= 9000:
            self.add(where, _("a time such as 2026-01-31T12:00:00+00:00 is required"))
            return timezone.now()
        return moment


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_NUMBER


def _is_text(text: str) -> bool:
    """Whether a database can store it: no NUL, and no half of a surrogate pair."""
    return "\0" not in text and not any(0xD800 <= ord(character) <= 0xDFFF for character in text)
