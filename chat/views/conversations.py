"""What an owner does with a conversation: make, rename, delete and restore it, and say what it may be used for."""

import uuid

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from chat.models import Conversation, Reply
from chat.titles import title_from
from chat.views.requests import deleted_of, own_conversation, person, wants_json


@require_POST
def create(request: HttpRequest) -> HttpResponse:
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
def rename(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    renamed = own_conversation(request, conversation_id)
    renamed.title = title_from(request.POST.get("title", ""), Conversation._meta.get_field("title").max_length or 0)
    renamed.save(update_fields=["title"])
    return redirect("conversation", renamed.pk)


@require_POST
def delete(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    deleted = own_conversation(request, conversation_id)
    deleted.deleted_at = timezone.now()
    deleted.save(update_fields=["deleted_at"])
    # Nobody will read what is still being written.
    Reply.objects.filter(message__conversation=deleted, state__in=Reply.LIVE).update(stop_requested=True)
    response = redirect("home")
    response["Location"] += f"?deleted={deleted.pk}"
    return response


@require_POST
def restore(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    restored = get_object_or_404(deleted_of(request), pk=conversation_id)
    restored.deleted_at = None
    restored.save(update_fields=["deleted_at"])
    messages.success(request, _("The conversation is back."))
    return redirect("conversation", restored.pk)


@require_POST
def consent(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    """Counts from the next snapshot on, in both directions."""
    changed = own_conversation(request, conversation_id)
    changed.may_train = request.POST.get("may_train") == "on"
    changed.save(update_fields=["may_train"])
    if wants_json(request):
        return JsonResponse({"may_train": changed.may_train})
    return redirect("conversation", changed.pk)
