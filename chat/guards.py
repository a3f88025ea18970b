"""Guards: checks, named in the settings, of messages before they are stored and of replies while they are streamed.

Guards fail closed. A reply is shown while it streams, and checked at the end of each sentence and at its own end. One
that is blocked ends there: the text after the last sentence that passed is removed from every page and not stored. So
a reply has a single text for all readers (its owner, an export, the next prompt, training), and no other one that a
mistake could show. Moderators see which rule it broke; a rule that blocks too much shows in their number.

The last sentence is not checked if its reader stops the reply, who keeps exactly what they saw, or the talker dies.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable
from functools import lru_cache

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.utils import InterfaceError, OperationalError
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _

from chat.errors import BadText, Blocked, ChatError, EmptyMessage, GuardBroken, Text, TooLong
from chat.models import Conversation

logger = logging.getLogger(__name__)


TIMED_OUT = "chat.guards"
"""Stands for a guard that took too long, whichever it was."""
LIMIT_S = 10.0
"""A guard that takes longer for a reply has failed."""
SENTENCE_END = re.compile(r"""[.!?…][)\]"'”’»*_`]*\s|[。！？]|\n""")
LONGEST_END = 12
"""Characters at the end of a sentence: its mark, with the quotes and brackets after it."""
LONGEST_UNCHECKED = 400
"""Characters after which a text is checked even without the end of a sentence."""


class Guard:
    """Base class of guards. A text is blocked if a check raises anything."""

    def check_message(self, text: str, conversation: Conversation) -> None:
        """Raises a ChatError (usually Blocked, with words of its own) if the message may not pass."""

    def check_reply(self, text: str, conversation: Conversation) -> None:
        """The same for a reply's text so far. Raises Blocked, with the key of a rule as its guard."""

    def name_of(self, key: str) -> Text | None:
        """The name of one of this guard's rules, translated when shown; None if the key is not one of its."""
        return None


def guards() -> list[Guard]:
    """Instances of settings.CHAT_GUARDS. Raises ImproperlyConfigured with the path that cannot be loaded."""
    return [_load(path) for path in settings.CHAT_GUARDS]


def check_message(text: str, conversation: Conversation) -> None:
    """Raises the first refusal; GuardBroken if a guard fails."""
    for path in settings.CHAT_GUARDS:
        _ask(path, "check_message", text, conversation)


def check_reply(text: str, conversation: Conversation) -> None:
    """Raises Blocked, or GuardBroken if a guard fails."""
    for path in settings.CHAT_GUARDS:
        try:
            _ask(path, "check_reply", text, conversation)
        except Blocked:
            raise
        except ChatError as error:
            raise Blocked(path, repr(error)) from error


async def in_time(check: Awaitable[None]) -> None:
    """Waits for a check that runs in a thread. Raises Blocked; GuardBroken if it takes longer than LIMIT_S."""
    try:
        async with asyncio.timeout(LIMIT_S):
            await check
    except (TimeoutError, OperationalError, InterfaceError) as error:
        raise GuardBroken(TIMED_OUT, repr(error)) from error


def name_of(key: str) -> str:
    """The name of the rule or guard that blocked a reply."""
    return str(lazy_name_of(key))


def lazy_name_of(key: str) -> Text:
    """The same, translated when it is shown; that needs no database."""
    if key in (*settings.CHAT_GUARDS, TIMED_OUT):
        return _("a failed check")
    names = (_load(path).name_of(key) for path in settings.CHAT_GUARDS)
    return next((name for name in names if name is not None), key)


def checkable(text: str, checked: int, searched: int = 0) -> int:
    """Characters of a streaming reply that are ready to be checked: up to the end of its last complete sentence.

    `checked`: characters that were checked before, returned while there is nothing new. `searched`: characters that
    an earlier call has searched without finding the end of a sentence beyond `checked`.
    """
    ends = [found.end() for found in SENTENCE_END.finditer(text, max(checked, searched - LONGEST_END))]
    if ends:
        return ends[-1]
    if len(text) - checked < LONGEST_UNCHECKED:
        return checked
    between_words = max(text.rfind(" ", checked), text.rfind("\n", checked)) + 1
    return between_words if between_words > checked else len(text)


def _ask(path: str, check: str, text: str, conversation: Conversation) -> None:
    try:
        getattr(_load(path), check)(text, conversation)
    except (ChatError, ImproperlyConfigured):
        raise
    except Exception as error:  # a guard is third-party code: whatever it raises, the text does not pass
        logger.exception("guard %s failed", path)
        raise GuardBroken(path, repr(error)) from error


@lru_cache
def _load(path: str) -> Guard:
    try:
        guard = import_string(path)()
    except ImportError as error:
        raise ImproperlyConfigured(f"CHAMSAE_GUARDS: {path}: {error}") from error
    if not isinstance(guard, Guard):
        raise ImproperlyConfigured(f"CHAMSAE_GUARDS: {path} does not derive from chat.guards.Guard")
    return guard


class MessageShapeGuard(Guard):
    """Passes text that can be stored, shown and answered: not empty, not too long, no NUL, no half characters."""

    def check_message(self, text: str, conversation: Conversation) -> None:
        if len(text) > settings.CHAT_MAX_MESSAGE_CHARS:
            raise TooLong(f"{len(text)} characters")
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise BadText
        if not text.strip():
            raise EmptyMessage
