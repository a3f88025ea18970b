"""Takes moderators' notes on an item or a person."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.models import User
from accounts.requests import person
from feedback.errors import ModerationError
from feedback.forms import NoteForm
from feedback.moderation import notes, reported_texts
from feedback.moderation.items import MODELS, Text


@require_POST
def note_on_item(request: HttpRequest, kind: str, pk: int) -> HttpResponse:
    text = reported_texts.reviewable(kind, pk) if kind in MODELS else None
    if text is None:
        raise Http404
    _add(request, text)
    return redirect("moderation_item", kind, pk)


@require_POST
def note_on_person(request: HttpRequest, pk: int) -> HttpResponse:
    _add(request, get_object_or_404(User, pk=pk))
    return redirect("moderated_person", pk)


def _add(request: HttpRequest, about: Text | User) -> None:
    form = NoteForm(request.POST)
    try:
        notes.add(about, person(request), form.cleaned_data["text"] if form.is_valid() else "")
    except ModerationError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("Note added."))
