"""The page of a person's own instructions, and the switch that applies them to a conversation."""

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts.requests import person
from base.requests import wants_json
from chat import instructions
from chat.forms import InstructionsForm
from chat.models import Conversation
from chat.views.requests import own_conversation


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest) -> HttpResponse:
    owner = person(request)
    form = InstructionsForm(request.POST if request.method == "POST" else None, instance=instructions.stored(owner))
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        instructions.store(owner, given["about"], given["manner"], is_on=given["is_on"])
        messages.success(request, _("Saved. They apply from your next message on."))
        return redirect("instructions")
    return render(request, "chat/instructions.html", {"form": form}, status=400 if form.is_bound else 200)


@require_POST
def switch(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    """`instructions`: on applies the person's own from the next reply on; anything else does not."""
    changed = own_conversation(request, conversation_id)
    instructions.switch(changed, is_on=request.POST.get("instructions") == "on")
    if wants_json(request):
        return JsonResponse({"instructions": changed.uses_instructions})
    return redirect("conversation", changed.pk)


def uses_instructions(request: HttpRequest) -> bool:
    """Whether they apply to a conversation that is not stored yet: as posted (on, off), else as the person has it."""
    posted = request.POST.get("instructions", "")
    return posted == "on" if posted else instructions.stored(person(request)).is_on


def instructions_switch(request: HttpRequest, shown: Conversation | None = None) -> dict[str, Any]:
    """Context of the switch, which is there for people who have instructions."""
    own = instructions.stored(person(request))
    return {
        "has_instructions": bool(own.about or own.manner),
        "uses_instructions": own.is_on if shown is None else shown.uses_instructions,
    }
