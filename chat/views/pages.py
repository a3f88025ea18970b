"""Pages of the chat: the landing page, a conversation, the list of conversations, deleted ones."""

import uuid
from typing import Any

from django.conf import settings
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import get_language
from django.views.decorators.http import require_safe

from accounts import consent_texts, consents
from accounts.requests import person
from accounts.views.consent import words_of
from chat import languages
from chat.conversations import temporary
from chat.conversations.open_path import open_branch
from chat.conversations.removal import KEPT
from chat.conversations.sidebar import LENGTH, listing
from chat.models import Conversation, Policy, default_consent
from chat.views.assistants import picker
from chat.views.instructions import instructions_switch
from chat.views.model_choice import model_picker
from chat.views.requests import as_uuid, deleted_of, listed_of, own_conversation


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """The landing page for people who are not signed in; an empty conversation, with `?temporary` a temporary one,
    for those who are."""
    if not request.user.is_authenticated:
        return render(request, "chat/landing.html")
    asked = as_uuid(request.GET.get("deleted", ""))
    undo = deleted_of(request).filter(pk=asked).first() if asked else None
    is_temporary = "temporary" in request.GET
    context = {"may_train": default_consent(), "turns": [], "undo": undo, "is_temporary": is_temporary}
    context |= around(request) | _pickers(request)
    context |= _consent(request, is_wanted=default_consent())
    return render(request, "chat/conversation.html", context | _spoken(context))


@require_safe
def conversation(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    shown = own_conversation(request, conversation_id)
    temporary.keep_open(shown)
    context = {
        "conversation": shown,
        "may_train": shown.may_train,
        "turns": open_branch(shown),
        "is_temporary": shown.is_temporary,
    }
    context |= around(request, shown) | _pickers(request, shown)
    context |= _consent(request, is_wanted=shown.may_train)
    return render(request, "chat/conversation.html", context | _spoken(context))


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


def _consent(request: HttpRequest, *, is_wanted: bool) -> dict[str, Any]:
    """Context of the switch and of the words that are read before it is on for the first time.

    `is_wanted`: whether it would be on. Then a person who has not answered is asked by a line above the messages.
    """
    owner = person(request)
    if consents.of(owner) is not None:
        return {"may_train": is_wanted}
    text = consent_texts.current()
    return {
        "may_train": False,
        "consent_words": words_of(text),
        "consent_version": text.number,
        "consent_is_asked": is_wanted and consents.is_to_be_asked(owner),
    }


def _pickers(request: HttpRequest, shown: Conversation | None = None) -> dict[str, Any]:
    """Context of what a person chooses for a conversation: assistant, model, and whether their instructions apply."""
    return picker(request, shown) | model_picker(request, shown) | instructions_switch(request, shown)


def _spoken(context: dict[str, Any]) -> dict[str, Any]:
    """The language of the suggestions, and the line that says so where the model does not speak the page's."""
    page = get_language() or settings.LANGUAGE_CODE
    answering: Policy | None = context["chosen_model"] or context["live_policy"]
    return {
        "suggestion_language": languages.suggested(answering, page),
        "language_warning": languages.warning(answering, page),
        "live_language_warning": languages.warning(context["live_policy"], page),
    }


def around(request: HttpRequest, shown: Conversation | None = None) -> dict[str, Any]:
    """Context of everything around a conversation: list, search, live model."""
    shown_list = listing(
        listed_of(request),
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
