"""What views read from a request: the person's own conversations, and ids."""

import uuid

from django.db.models import QuerySet
from django.http import HttpRequest
from django.shortcuts import get_object_or_404

from accounts.requests import person
from chat.models import Conversation


def conversations_of(request: HttpRequest) -> QuerySet[Conversation]:
    return Conversation.objects.filter(owner=person(request), deleted_at=None)


def listed_of(request: HttpRequest) -> QuerySet[Conversation]:
    """Without temporary ones, which are in no list and no search."""
    return conversations_of(request).filter(expires_at=None)


def deleted_of(request: HttpRequest) -> QuerySet[Conversation]:
    """Those that may be restored; a temporary one may not."""
    return Conversation.objects.filter(owner=person(request), deleted_at__isnull=False, expires_at=None)


def own_conversation(request: HttpRequest, conversation_id: uuid.UUID) -> Conversation:
    """404 for somebody else's conversation as for one that does not exist, so that nobody can tell which it is."""
    return get_object_or_404(conversations_of(request), pk=conversation_id)


def kept_conversation(request: HttpRequest, conversation_id: uuid.UUID) -> Conversation:
    """The same, with 404 for a temporary one, which has no name, no place in a list, no links and no consent."""
    return get_object_or_404(listed_of(request), pk=conversation_id)


def as_uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
