"""Guards: checks named in the settings that a message must pass before anything is stored. They fail closed."""

import logging
from functools import lru_cache
from typing import Protocol

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from chat.errors import BadText, ChatError, EmptyMessage, GuardBroken, TooLong
from chat.models import Conversation

logger = logging.getLogger(__name__)


class Guard(Protocol):
    def check_message(self, text: str, conversation: Conversation) -> None:
        """Raises a ChatError (usually Blocked, with words of its own) if the message may not pass."""


def guards() -> list[Guard]:
    """Instances of settings.CHAT_GUARDS. Raises ImproperlyConfigured with the path that cannot be loaded."""
    return [_load(path) for path in settings.CHAT_GUARDS]


def check_message(text: str, conversation: Conversation) -> None:
    """Raises the first refusal; GuardBroken if a guard cannot say."""
    for path in settings.CHAT_GUARDS:
        try:
            _load(path).check_message(text, conversation)
        except ChatError:
            raise
        except Exception as error:  # a guard is others' code: whatever it raises, the message does not pass
            logger.exception("guard %s failed", path)
            raise GuardBroken(path, repr(error)) from error


@lru_cache
def _load(path: str) -> Guard:
    try:
        guard: Guard = import_string(path)()
    except ImportError as error:
        raise ImproperlyConfigured(f"CHAMSAE_GUARDS: {path}: {error}") from error
    return guard


class MessageShapeGuard:
    """Text that can be stored, shown and answered: not empty, not endless, no NUL, no half characters."""

    def check_message(self, text: str, conversation: Conversation) -> None:
        if len(text) > settings.CHAT_MAX_MESSAGE_CHARS:
            raise TooLong(f"{len(text)} characters")
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise BadText
        if not text.strip():
            raise EmptyMessage
