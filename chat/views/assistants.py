"""Pages of assistants: list, edit, read, and choose one for a conversation."""

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.models import User
from accounts.requests import person
from base.requests import wants_json
from chat import assistants
from chat.forms import AssistantForm, ExampleExchange
from chat.models import Assistant, Conversation
from chat.views.requests import as_uuid, own_conversation


@require_GET
def assistant_list(request: HttpRequest) -> HttpResponse:
    asked = as_uuid(request.GET.get("deleted", ""))
    undo = assistants.deleted_of(person(request)).filter(pk=asked).first() if asked else None
    return render(request, "chat/assistants/list.html", _grouped(person(request)) | {"undo": undo})


@require_http_methods(["GET", "POST"])
def create(request: HttpRequest) -> HttpResponse:
    who = person(request)
    return _edit(request, Assistant(owner=who)) if assistants.has_room(who) else _full(request)


@require_http_methods(["GET", "POST"])
def assistant(request: HttpRequest, assistant_id: uuid.UUID) -> HttpResponse:
    """Editable for people who may change it, read-only for people who may use it."""
    shown = _usable(request, assistant_id)
    if assistants.may_change(person(request), shown):
        return _edit(request, shown)
    return render(request, "chat/assistants/read.html", {"assistant": shown}, status=_refused(request))


@require_POST
def duplicate(request: HttpRequest, assistant_id: uuid.UUID) -> HttpResponse:
    original = _usable(request, assistant_id)
    if not assistants.has_room(person(request)):
        return _full(request)
    longest = Assistant._meta.get_field("name").max_length or 0
    name = (_("Copy of %(name)s") % {"name": original.name})[:longest]
    copy = assistants.duplicate(person(request), original, name)
    messages.success(request, _("Only you use this copy. Change it as you like."))
    return redirect("assistant", copy.pk)


@require_POST
def delete(request: HttpRequest, assistant_id: uuid.UUID) -> HttpResponse:
    deleted = _usable(request, assistant_id)
    if not assistants.may_change(person(request), deleted):
        return render(request, "chat/assistants/read.html", {"assistant": deleted}, status=403)
    assistants.delete(person(request), deleted)
    return redirect(f"{reverse('assistants')}?deleted={deleted.pk}")


@require_POST
def restore(request: HttpRequest, assistant_id: uuid.UUID) -> HttpResponse:
    restored = get_object_or_404(assistants.deleted_of(person(request)), pk=assistant_id)
    assistants.restore(person(request), restored)
    messages.success(request, _("“%(name)s” was restored.") % {"name": restored.name})
    return redirect("assistants")


@require_POST
def choose(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    """Sets a conversation's assistant, or none; applies from the next reply on."""
    changed = own_conversation(request, conversation_id)
    chosen = chosen_by(request, request.POST.get("assistant", ""))
    assistants.choose(changed, chosen)
    if wants_json(request):
        return JsonResponse({"assistant": str(chosen.pk) if chosen else "", "name": chosen.name if chosen else ""})
    return redirect("conversation", changed.pk)


def chosen_by(request: HttpRequest, text: str) -> Assistant | None:
    """The assistant with that id; None if no id is given, 404 if the person may not use it."""
    return _usable(request, as_uuid(text) or uuid.UUID(int=0)) if text else None


def _usable(request: HttpRequest, assistant_id: uuid.UUID) -> Assistant:
    return get_object_or_404(assistants.usable_by(person(request)), pk=assistant_id)


def _grouped(who: User) -> dict[str, list[Assistant]]:
    """Assistants that the person may use: their own, and those for everybody."""
    rows = list(assistants.usable_by(who))
    return {
        "own_assistants": [row for row in rows if not row.is_shared],
        "shared_assistants": [row for row in rows if row.is_shared],
    }


def picker(request: HttpRequest, shown: Conversation | None = None) -> dict[str, Any]:
    """Context of the picker; `lost_assistant` is the conversation's if it no longer applies."""
    if shown is not None:
        chosen = assistants.applied(shown)
        lost = shown.assistant if chosen is None else None
    else:
        asked = as_uuid(request.GET.get("assistant", ""))
        chosen = assistants.usable_by(person(request)).filter(pk=asked).first() if asked else None
        lost = None
    return _grouped(person(request)) | {"chosen_assistant": chosen, "lost_assistant": lost}


def _edit(request: HttpRequest, edited: Assistant) -> HttpResponse:
    who = person(request)
    form = AssistantForm(who, request.POST if request.method == "POST" else None, instance=edited)
    if request.method == "POST" and not _changes_rows(request) and form.is_valid():
        saved = assistants.save(who, edited, form.content())
        messages.success(
            request, _("“%(name)s” was saved. It applies from the next reply on.") % {"name": saved.name}
        )
        return redirect("assistants")
    rows = _rows(request, form)
    is_wrong = form.is_bound and not _changes_rows(request)
    if _changes_rows(request):
        form.errors.clear()  # adding or removing a row is no attempt to save
    context = {
        "form": form,
        "assistant": edited,
        "is_new": edited._state.adding,
        "rows": rows,
        "added": "add" in request.POST,
        "blank": ExampleExchange(),
        "most": assistants.MAX_EXAMPLES,
    }
    return render(request, "chat/assistants/edit.html", context, status=400 if is_wrong else 200)


def _changes_rows(request: HttpRequest) -> bool:
    return "add" in request.POST or "remove" in request.POST


def _rows(request: HttpRequest, form: AssistantForm) -> list[ExampleExchange]:
    """The examples of the form, with one more or one less if a button asked for it where scripts are off."""
    rows = form.examples
    if "add" in request.POST:
        rows.append(ExampleExchange())
    removed = request.POST.get("remove", "")
    if removed.isdecimal() and int(removed) < len(rows):
        rows.pop(int(removed))
    return rows


def _full(request: HttpRequest) -> HttpResponse:
    words = _("You already have %(number)d assistants. Delete one first.")
    messages.error(request, words % {"number": assistants.MAX_OWN})
    return redirect("assistants")


def _refused(request: HttpRequest) -> int:
    """The status for people who may read the assistant but not change it."""
    return 403 if request.method == "POST" else 200
