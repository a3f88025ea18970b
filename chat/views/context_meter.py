"""Serves the token counts of the context meter, which the page asks for while somebody writes."""

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from accounts.requests import person
from chat import instructions
from chat.conversations.answerer import Answerer, answerer_for, answerer_of
from chat.conversations.context_meter import Shares, shares
from chat.errors import ChatError
from chat.forms import plain
from chat.prompts.history import turns_to
from chat.prompts.rendering import Turn
from chat.views.assistants import chosen_by
from chat.views.instructions import uses_instructions
from chat.views.model_choice import model_chosen_by
from chat.views.requests import as_uuid, conversations_of


@require_POST  # a draft is too long for an address; nothing is written
def context(request: HttpRequest) -> HttpResponse:
    """Fields: `text`; `conversation` with `parent`, which the text would follow; or `assistant`, `model` and
    `instructions`."""
    draft = plain(request.POST.get("text", ""))
    try:
        answerer, history = _before(request)
        return JsonResponse(_frame(shares(answerer, history, draft)))
    except ChatError as error:
        return JsonResponse({"problem": str(error.message), "code": error.code})


def _before(request: HttpRequest) -> tuple[Answerer, list[Turn]]:
    """Who would answer the draft, and the turns that it would follow. Raises PolicyRetired, BadParameters."""
    asked = request.POST.get("conversation", "")
    if not asked:
        assistant = chosen_by(request, request.POST.get("assistant", ""))
        model = model_chosen_by(request, request.POST.get("model", ""))
        own = instructions.text_for(person(request)) if uses_instructions(request) else ""
        return answerer_for(person(request), assistant, model, own), []
    conversation = get_object_or_404(conversations_of(request), pk=as_uuid(asked))
    parent = request.POST.get("parent", "")
    tip = get_object_or_404(conversation.messages, pk=parent).pk if parent.isdecimal() else None
    return answerer_of(conversation), turns_to(conversation.pk, tip)


def _frame(counted: Shares) -> dict[str, Any]:
    return {
        "context": counted.context,
        "prompt": counted.prompt,
        "is_exact": counted.is_exact,
        "parts": {
            name: getattr(counted, name) for name in ("instructions", "examples", "history", "draft", "form", "reply")
        },
        "dropped": counted.dropped,
        "notice": _notice(counted),
        "problem": str(counted.problem.message) if counted.problem else "",
    }


def _notice(counted: Shares) -> str:
    if counted.problem or not counted.dropped:
        return ""
    return ngettext(
        "The oldest message does not fit: the model will not see it.",
        "The oldest %(number)d messages do not fit: the model will not see them.",
        counted.dropped,
    ) % {"number": counted.dropped}
