"""The pages of the chat: the landing page, the list of conversations, and one conversation."""

import uuid
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from chat.branches import open_branch
from chat.models import Conversation, Policy, Reply

LIST_LENGTH = 50
TITLE_CHARS = 60


def person(request: HttpRequest) -> User:
    """Who asks. Views that call this stand behind the permission table, which lets nobody anonymous in."""
    assert isinstance(request.user, User)
    return request.user


def conversations_of(request: HttpRequest) -> QuerySet[Conversation]:
    return Conversation.objects.filter(owner=person(request), deleted_at=None)


def deleted_of(request: HttpRequest) -> QuerySet[Conversation]:
    return Conversation.objects.filter(owner=person(request), deleted_at__isnull=False)


def own_conversation(request: HttpRequest, conversation_id: uuid.UUID) -> Conversation:
    """404 for a stranger's conversation as for one that never was, so that nobody can tell which it is."""
    return get_object_or_404(conversations_of(request), pk=conversation_id)


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """What the site is, to who is not signed in; an empty conversation to who is."""
    if not request.user.is_authenticated:
        return render(request, "chat/landing.html")
    asked = as_uuid(request.GET.get("deleted", ""))
    undo = deleted_of(request).filter(pk=asked).first() if asked else None
    context = {"may_train": settings.CHAT_CONSENT_DEFAULT, "turns": [], "undo": undo}
    return render(request, "chat/conversation.html", context | around(request))


@require_safe
def conversation(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    shown = own_conversation(request, conversation_id)
    context = {"conversation": shown, "may_train": shown.may_train, "turns": open_branch(shown)}
    return render(request, "chat/conversation.html", context | around(request, shown))


@require_safe
def conversation_list(request: HttpRequest) -> HttpResponse:
    """The list alone, for search as one types and for older pages."""
    return render(request, "chat/list.html", around(request))


def around(request: HttpRequest, shown: Conversation | None = None) -> dict[str, Any]:
    """What stands around a conversation: the list, the search, the model that answers."""
    wanted = request.GET.get("q", "").strip()
    found = conversations_of(request)
    if wanted:
        found = found.filter(title__icontains=wanted)
    return {
        "page": Paginator(found, LIST_LENGTH).get_page(request.GET.get("page")),
        "q": wanted,
        "open_id": shown.pk if shown else as_uuid(request.GET.get("open", "")),
        "live_policy": Policy.objects.filter(is_live=True).first(),
        "max_message_chars": settings.CHAT_MAX_MESSAGE_CHARS,
    }


@require_POST
def conversation_create(request: HttpRequest) -> HttpResponse:
    """Makes an empty conversation named after what will be its first message; the socket sends the message."""
    created = Conversation.objects.create(
        owner=person(request),
        title=title_from(request.POST.get("text", "")),
        may_train=request.POST.get("may_train") == "on",
    )
    if not wants_json(request):
        return redirect("conversation", created.pk)
    return JsonResponse({"id": str(created.pk), "title": created.title}, status=201)


@require_POST
def conversation_rename(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    renamed = own_conversation(request, conversation_id)
    renamed.title = title_from(request.POST.get("title", ""), Conversation._meta.get_field("title").max_length or 0)
    renamed.save(update_fields=["title"])
    return redirect("conversation", renamed.pk)


@require_POST
def conversation_delete(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    deleted = own_conversation(request, conversation_id)
    deleted.deleted_at = timezone.now()
    deleted.save(update_fields=["deleted_at"])
    # Nobody will read what is still being written.
    Reply.objects.filter(message__conversation=deleted, state__in=Reply.LIVE).update(stop_requested=True)
    response = redirect("home")
    response["Location"] += f"?deleted={deleted.pk}"
    return response


@require_POST
def conversation_restore(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    restored = get_object_or_404(deleted_of(request), pk=conversation_id)
    restored.deleted_at = None
    restored.save(update_fields=["deleted_at"])
    messages.success(request, _("The conversation is back."))
    return redirect("conversation", restored.pk)


@require_POST
def conversation_consent(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    """Counts from the next snapshot on, in both directions."""
    changed = own_conversation(request, conversation_id)
    changed.may_train = request.POST.get("may_train") == "on"
    changed.save(update_fields=["may_train"])
    if wants_json(request):
        return JsonResponse({"may_train": changed.may_train})
    return redirect("conversation", changed.pk)


def title_from(text: str, length: int = TITLE_CHARS) -> str:
    """The first words of a text on one line, without what a title cannot hold."""
    line = " ".join("".join(c for c in text if c.isprintable() or c.isspace()).split())
    return Truncator(line).chars(length)


def wants_json(request: HttpRequest) -> bool:
    return request.headers.get("Accept", "").startswith("application/json")


def as_uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
