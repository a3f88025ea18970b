"""The model picker of a conversation, and the view that stores its choice."""

import uuid
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from accounts.requests import person
from base.requests import wants_json
from chat import model_choice, policies
from chat.models import Conversation, Policy
from chat.views.requests import own_conversation


@require_POST
def choose_model(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    """Sets a conversation's model, or whichever is live; applies from the next reply on."""
    changed = own_conversation(request, conversation_id)
    chosen = model_chosen_by(request, request.POST.get("model", ""))
    model_choice.choose(changed, chosen)
    if wants_json(request):
        return JsonResponse({"model": chosen.name if chosen else ""})
    return redirect("conversation", changed.pk)


def model_chosen_by(request: HttpRequest, name: str) -> Policy | None:
    """The model of that name; None if none is given, 404 if the person may not use it."""
    if not name:
        return None
    found = policies.visible_to(person(request)).filter(name=name).first()
    if found is None:
        raise Http404
    return found


def model_picker(request: HttpRequest, shown: Conversation | None = None) -> dict[str, Any]:
    """What the picker needs; `lost_model` is one that was chosen here and can not be talked with any more."""
    choices = model_choice.options_for(person(request))
    if shown is not None:
        chosen = model_choice.chosen(shown)
    else:
        asked = request.GET.get("model", "")
        chosen = next((choice.policy for choice in choices if choice.policy.name == asked), None)
    lost = shown.policy if shown is not None and chosen is None else None
    return {"model_choices": choices, "chosen_model": chosen, "lost_model": lost}
