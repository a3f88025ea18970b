"""The moderators' pages: the queue, a reported text, the confirmation of an action, and undo."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from accounts.models import AuditEntry, User
from accounts.requests import person
from base.requests import filters_of
from feedback.errors import ModerationError, NothingToDo
from feedback.forms import QueueFilter, ReasonForm, SuspendForm
from feedback.models import Report
from feedback.moderation import actions, consequences, review_queue
from feedback.moderation.actions import ModeratedText

ITEMS_A_PAGE = 25


@require_GET
def moderation_queue(request: HttpRequest) -> HttpResponse:
    form = QueueFilter(request.GET)
    chosen = form.cleaned_data if form.is_valid() else {"state": Report.State.OPEN, "kind": "", "rule": ""}
    page = Paginator(review_queue.queue(**chosen), ITEMS_A_PAGE).get_page(request.GET.get("page"))
    context = {
        "form": form,
        "page": page,
        "rows": review_queue.rows(list(page.object_list), state=chosen["state"]),
        "filters": filters_of(request),
        "open": review_queue.queue(state=Report.State.OPEN).count(),
    }
    return render(request, "feedback/moderation.html", context)


@require_GET
def moderation_item(request: HttpRequest, kind: str, pk: int) -> HttpResponse:
    text = _reported_or_404(kind, pk)
    review_queue.note_reading(text, person(request))
    item = review_queue.item(kind, text)
    context = {
        "item": item,
        "verbs": consequences.offered(item, person(request)),
        "history": review_queue.history_of(item.author) if item.author else None,
        "undoable": {entry.pk for entry in item.entries if actions.can_undo(entry)},
    }
    return render(request, "feedback/moderation_item.html", context)


@require_http_methods(["GET", "POST"])
def moderate(request: HttpRequest, kind: str, pk: int, verb: str) -> HttpResponse:
    """GET shows what the verb will do; POST does it."""
    text = _reported_or_404(kind, pk)
    item = review_queue.item(kind, text)
    if verb not in consequences.VERBS:
        raise Http404
    form = _form_of(verb)(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            _carry_out(verb, item, person(request), form.cleaned_data)
        except ModerationError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("Done: %(act)s.") % {"act": consequences.VERBS[verb].title})
            return redirect("moderation_item", kind, pk)
    context = {"item": item, "verb": consequences.VERBS[verb], "form": form, "lines": consequences.lines(verb, item)}
    return render(request, "feedback/moderate.html", context, status=_status_of(form))


@require_http_methods(["GET", "POST"])
def undo_moderation(request: HttpRequest, entry_id: int) -> HttpResponse:
    entry = get_object_or_404(AuditEntry, pk=entry_id)
    if not actions.is_moderation(entry):
        raise Http404
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            actions.undo(entry, person(request), form.cleaned_data["reason"])
        except ModerationError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("Undone."))
            return redirect(_back_to(request))
    context = {"entry": entry, "form": form, "next": _back_to(request)}
    return render(request, "feedback/undo.html", context, status=_status_of(form))


def _status_of(form: ReasonForm) -> int:
    """409 if the verb was refused, 400 if a field was invalid."""
    if form.non_field_errors():
        return 409
    return 400 if form.errors else 200


def _reported_or_404(kind: str, pk: int) -> ModeratedText:
    text = review_queue.reported(kind, pk) if kind in actions.TEXT_MODELS else None
    if text is None:
        raise Http404
    return text


def _form_of(verb: str) -> type[ReasonForm]:
    return SuspendForm if verb == "suspend" else ReasonForm


def _carry_out(verb: str, item: review_queue.ReportedText, actor: User, values: dict[str, Any]) -> AuditEntry:
    reason = values["reason"]
    if verb in actions.TEXT_VERBS:
        return actions.TEXT_VERBS[verb](item.text, actor, reason)
    if item.author is None:
        raise NothingToDo
    if verb == "suspend":
        return actions.suspend(item.author, actor, reason, until=values["until"], about=item.text)
    return actions.lift(item.author, actor, reason)


def _back_to(request: HttpRequest) -> str:
    """The page of the text that the undo started from; only pages of moderation, whatever the query says."""
    kind, pk = request.GET.get("kind", ""), request.GET.get("pk", "")
    if kind in actions.TEXT_MODELS and pk.isascii() and pk.isdigit():
        return reverse("moderation_item", args=[kind, pk])
    return reverse("moderation")
