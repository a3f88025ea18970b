"""Actions on a conversation by its owner: create, rename, pin, archive, delete, restore, and consent to training."""

import uuid
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts import consents, personal
from accounts.requests import person
from base.requests import wants_json
from chat import guards
from chat.conversations import temporary, titles
from chat.conversations.turns import take_turn
from chat.errors import ChatError
from chat.forms import plain
from chat.models import Conversation, Reply
from chat.views.assistants import chosen_by
from chat.views.instructions import uses_instructions
from chat.views.model_choice import model_chosen_by
from chat.views.requests import deleted_of, kept_conversation, own_conversation
from chat.websocket import frames


@require_POST
def create(request: HttpRequest) -> HttpResponse:
    """Creates a conversation with a title from its first message.

    With a `key` it takes the turn, too, so that a message that is refused leaves nothing behind; the socket then
    sends the same key, and is told of that turn. Without one the conversation is empty.
    """
    text, key = plain(request.POST.get("text", "")), request.POST.get("key", "")
    try:
        with transaction.atomic():
            created = _created(request, text)
            if key:
                take_turn(created, text, key, None)
            elif text.strip():
                guards.check_message(text, created)
    except ChatError as error:
        return _refused(request, error)
    if not wants_json(request):
        return redirect("conversation", created.pk)
    return JsonResponse({"id": str(created.pk), "title": created.title}, status=201)


def _created(request: HttpRequest, text: str) -> Conversation:
    is_temporary = request.POST.get("temporary") == "on"
    return Conversation.objects.create(
        owner=person(request),
        title="" if is_temporary else titles.title_from(text),
        may_train=_wants_training(request) and not is_temporary,
        expires_at=temporary.first_end() if is_temporary else None,
        uses_instructions=uses_instructions(request),
        assistant=chosen_by(request, request.POST.get("assistant", "")),
        policy=model_chosen_by(request, request.POST.get("model", "")),
    )


def _wants_training(request: HttpRequest) -> bool:
    return request.POST.get("may_train") == "on" and consents.of(person(request)) is not None


def _refused(request: HttpRequest, error: ChatError) -> HttpResponse:
    if wants_json(request):
        return JsonResponse(frames.error(error), status=400)
    messages.error(request, str(error.message))
    return redirect("home")


@require_POST
def rename(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    """An empty title is replaced by one from the first message."""
    renamed = kept_conversation(request, conversation_id)
    titles.rename(renamed, request.POST.get("title", ""))
    return _answer(request, renamed)


@require_POST
def pin(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    """Puts a conversation at the top of the list, and takes it out of the archive."""
    pinned = kept_conversation(request, conversation_id)
    pinned.pinned_at = timezone.now() if _is_on(request) else None
    if _is_on(request):
        pinned.archived_at = None
    pinned.save(update_fields=["pinned_at", "archived_at"])
    return _answer(request, pinned)


@require_POST
def archive(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    archived = kept_conversation(request, conversation_id)
    archived.archived_at = timezone.now() if _is_on(request) else None
    if _is_on(request):
        archived.pinned_at = None
    archived.save(update_fields=["pinned_at", "archived_at"])
    return _answer(request, archived)


@require_POST
def delete(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    """Hides it; it can be restored for some weeks, and is then removed (chat.conversations.removal). A temporary one
    is removed with the next sweep."""
    deleted = own_conversation(request, conversation_id)
    deleted.deleted_at = timezone.now()
    deleted.save(update_fields=["deleted_at"])
    temporary.end_now(deleted)
    # Nobody will read what is still being written.
    Reply.objects.filter(message__conversation=deleted, state__in=Reply.LIVE).update(stop_requested=True)
    if wants_json(request):
        return JsonResponse(_state_of(deleted) | {"undo": reverse("conversation_restore", args=[deleted.pk])})
    response = redirect("home")
    response["Location"] += f"?deleted={deleted.pk}"
    return response


@require_POST
def restore(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    restored = get_object_or_404(deleted_of(request), pk=conversation_id)
    restored.deleted_at = None
    restored.save(update_fields=["deleted_at"])
    if not wants_json(request):
        messages.success(request, _("The conversation was restored."))
    return _answer(request, restored)


@require_POST
def consent(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    """Switching it on needs the person's consent, and leads to its words where that is not there; switching it off
    takes the texts out at once of what has not been trained on."""
    changed = kept_conversation(request, conversation_id)
    is_on = request.POST.get("may_train") == "on"
    if is_on and consents.of(person(request)) is None:
        return _ask_for_consent(request, changed)
    with transaction.atomic():
        changed.may_train = is_on
        changed.save(update_fields=["may_train"])
        if not is_on:
            personal.withdraw_conversations([changed.pk])
    if wants_json(request):
        return JsonResponse({"may_train": changed.may_train})
    return redirect("conversation", changed.pk)


def _ask_for_consent(request: HttpRequest, conversation: Conversation) -> HttpResponse:
    page = f"{reverse('consent')}?next={reverse('conversation', args=[conversation.pk])}"
    return JsonResponse({"may_train": False, "consent": page}, status=409) if wants_json(request) else redirect(page)


def _is_on(request: HttpRequest) -> bool:
    return request.POST.get("is_on") == "on"


def _answer(request: HttpRequest, changed: Conversation) -> HttpResponse:
    """The new state for a script, the conversation's page for a form."""
    return JsonResponse(_state_of(changed)) if wants_json(request) else redirect("conversation", changed.pk)


def _state_of(conversation: Conversation) -> dict[str, Any]:
    return {
        "id": str(conversation.pk),
        "title": conversation.title,
        "is_pinned": conversation.pinned_at is not None,
        "is_archived": conversation.archived_at is not None,
    }
