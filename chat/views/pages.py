"""Pages of the chat: the landing page, a conversation, the list of conversations, deleted ones."""

import uuid
from typing import Any

from django.conf import settings
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from chat.conversations.open_path import open_branch
from chat.conversations.removal import KEPT
from chat.conversations.sidebar import LENGTH, listing
from chat.models import Conversation, Policy, default_consent
from chat.views.assistants import picker
from chat.views.model_choice import model_picker
from chat.views.requests import as_uuid, conversations_of, deleted_of, own_conversation


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """The landing page for people who are not signed in; an empty conversation for those who are."""
    if not request.user.is_authenticated:
        return render(request, "chat/landing.html")
    asked = as_uuid(request.GET.get("deleted", ""))
    undo = deleted_of(request).filter(pk=asked).first() if asked else None
    context = {"may_train": default_consent(), "turns": [], "undo": undo}
    return render(request, "chat/conversation.html", context | around(request) | _pickers(request))


@require_safe
def conversation(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    shown = own_conversation(request, conversation_id)
    context = {"conversation": shown, "may_train": shown.may_train, "turns": open_branch(shown)}
    return render(request, "chat/conversation.html", context | around(request, shown) | _pickers(request, shown))


@require_safe
def conversation_path(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    """The messages alone, for a page that opened another path or lost its connection."""
    return render(request, "chat/path.html", {"turns": open_branch(own_conversation(request, conversation_id))})


@require_safe
def conversation_list(request: HttpRequest) -> HttpResponse:
    """The list alone, for search as you type and for further pages."""
    return render(request, "chat/list.html", around(request))


@require_safe
def deleted(request: HttpRequest) -> HttpResponse:
    """Conversations that can still be restored, the latest deletion first."""
    restorable = deleted_of(request).filter(deleted_at__gt=timezone.now() - KEPT).order_by("-deleted_at")
    page = Paginator(restorable, LENGTH).get_page(request.GET.get("page"))
    rows = [(row, row.deleted_at + KEPT) for row in page if row.deleted_at]
    return render(request, "chat/deleted.html", {"page": page, "rows": rows, "days": KEPT.days})


def _pickers(request: HttpRequest, shown: Conversation | None = None) -> dict[str, Any]:
    """Context of the pickers of assistant and model."""
    return picker(request, shown) | model_picker(request, shown)


def around(request: HttpRequest, shown: Conversation | None = None) -> dict[str, Any]:
    """Context of everything around a conversation: list, search, live model."""
    shown_list = listing(
        conversations_of(request),
        request.GET.get("q", "").strip(),
        request.GET.get("page"),
        archived="archive" in request.GET,
    )
    return {
        "listing": shown_list,
        "q": shown_list.query,
        "open_id": shown.pk if shown else as_uuid(request.GET.get("open", "")),
        "live_policy": Policy.objects.filter(is_live=True).first(),
        "max_message_chars": settings.CHAT_MAX_MESSAGE_CHARS,
    }
