"""The moderators' pages: the queue, an item of it, the confirmation of an action, and undo."""

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
from chat.models import Message
from feedback.errors import ModerationError, NothingToDo
from feedback.forms import BulkForm, NoteForm, QueueFilter, ReasonForm, SuspendForm
from feedback.models import Review
from feedback.moderation import (
    actions,
    claims,
    consequences,
    neighbours,
    people,
    report_queue,
    reported_texts,
    reviews,
    why_here,
)
from feedback.moderation.items import MODELS, ItemKey, Text
from feedback.moderation.reported_texts import ReportedText

ITEMS_A_PAGE = 25
OUTCOMES = {"block_right": Review.Outcome.RIGHT, "block_wrong": Review.Outcome.WRONG}


@require_GET
def moderation_queue(request: HttpRequest) -> HttpResponse:
    form = QueueFilter(request.GET)
    search = form.search()
    page = Paginator(report_queue.entries(search), ITEMS_A_PAGE).get_page(request.GET.get("page"))
    held = claims.held_by_others(person(request))
    context = {
        "form": form,
        "bulk_form": BulkForm(),
        "page": page,
        "rows": report_queue.rows(list(page.object_list), state=search.state, held=held),
        "filters": form.query,
        "open": report_queue.count_open(),
        "done": _just_done(request),
        "counts": counts(),
    }
    return render(request, "feedback/moderation.html", context)


def counts() -> dict[str, int]:
    """Of what waits besides reports, for the tabs."""
    return {"blocked": reviews.blocked().count(), "new_accounts": reviews.new_accounts().count()}


@require_GET
def moderation_next(request: HttpRequest) -> HttpResponse:
    """The most urgent item that no other moderator has."""
    form = QueueFilter(request.GET)
    keys = [entry.key for entry in report_queue.entries(form.search())]
    return redirect(_address(claims.first_free(keys, person(request)), form.query))


@require_GET
def moderation_item(request: HttpRequest, kind: str, pk: int) -> HttpResponse:
    """Who opens it has it for some minutes, and the reading is logged: two writes that a GET may cause."""
    text = _reviewable_or_404(kind, pk)
    reader, form = person(request), QueueFilter(request.GET)
    reported_texts.note_reading(text, reader)
    item = reported_texts.item(text)
    claim = claims.take(item.key, reader)
    keys, held = neighbours.list_of(item, form.search()), claims.held_by_others(reader)
    context = {
        "item": item,
        "verbs": consequences.offered(item, reader),
        "why": why_here.lines(item),
        "claim": claim,
        "minutes": int(claims.KEPT_FOR.total_seconds() // 60),
        "around": neighbours.around(item.key, keys, held),
        "filters": form.query,
        "history": people.history_of(item.author) if item.author else None,
        "undoable": {entry.pk for entry in item.entries if actions.can_undo(entry)},
        "done": _just_done(request),
        "note_form": NoteForm(),
    }
    return render(request, "feedback/moderation_item.html", context)


@require_http_methods(["GET", "POST"])
def moderate(request: HttpRequest, kind: str, pk: int, verb: str) -> HttpResponse:
    """GET shows what the verb will do; POST does it, and goes on to the next item."""
    text = _reviewable_or_404(kind, pk)
    if verb not in consequences.VERBS:
        raise Http404
    item, actor, search = reported_texts.item(text), person(request), QueueFilter(request.GET)
    form = _form_of(verb)(_posted(request, verb))
    if request.method == "POST" and form.is_valid():
        keys, held = neighbours.list_of(item, search.search()), claims.held_by_others(actor)
        try:
            entry = _carry_out(verb, item, actor, form.cleaned_data)
        except ModerationError as error:
            form.add_error(None, str(error))
        else:
            claims.release(item.key, actor)
            return redirect(_address(neighbours.following(item.key, keys, held), search.query, entry))
    context = {
        "item": item,
        "verb": consequences.VERBS[verb],
        "form": form,
        "lines": consequences.lines(verb, item),
        "account": item.author if verb in ("suspend", "lift") else None,
        "filters": search.query,
    }
    return render(request, "feedback/moderate.html", context, status=status_of(form))


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
            return redirect(_back_to(request, entry))
    context = {"entry": entry, "form": form, "next": _back_to(request, entry)}
    return render(request, "feedback/undo.html", context, status=status_of(form))


def status_of(form: Any) -> int:
    """409 if the verb was refused, 400 if a field was invalid."""
    if form.non_field_errors():
        return 409
    return 400 if form.errors else 200


def _reviewable_or_404(kind: str, pk: int) -> Text:
    text = reported_texts.reviewable(kind, pk) if kind in MODELS else None
    if text is None:
        raise Http404
    return text


def _posted(request: HttpRequest, verb: str) -> Any:
    """What was sent; a verb that asks for no confirmation has its usual reason where none was typed."""
    found, usual = request.POST.copy(), consequences.VERBS[verb].usual_reason
    if "quick" in found and usual and not found.get("reason", "").strip():
        found["reason"] = str(usual)
    return found or None


def _form_of(verb: str) -> type[ReasonForm]:
    return SuspendForm if verb == "suspend" else ReasonForm


def _carry_out(verb: str, item: ReportedText, actor: User, values: dict[str, Any]) -> AuditEntry | None:
    """The entry that undoes it, if it can be undone."""
    reason = values["reason"]
    if verb in OUTCOMES and item.blocked_by:
        assert isinstance(item.text, Message)
        reviews.judge_block(item.text, actor, OUTCOMES[verb], reason)
        return None
    if verb in actions.TEXT_VERBS:
        return actions.TEXT_VERBS[verb](item.text, actor, reason)
    if item.author is None or verb in OUTCOMES:
        raise NothingToDo
    if verb == "suspend":
        return actions.suspend(item.author, actor, reason, until=values["until"], about=item.text)
    return actions.lift(item.author, actor, reason)


def _address(key: ItemKey | None, query: str, done: AuditEntry | None = None) -> str:
    """Of an item, or of the queue if there is none; with what the next page tells of what was done."""
    address = reverse("moderation_item", args=[key.kind, key.pk]) if key else reverse("moderation")
    parts = [part for part in (query, f"done={done.pk}" if done else "") if part]
    return f"{address}?{'&'.join(parts)}" if parts else address


def _just_done(request: HttpRequest) -> AuditEntry | None:
    """The moderator's own last act, named by the address that it led to, while it can be undone."""
    given = request.GET.get("done", "")
    if not (given.isascii() and given.isdigit() and len(given) < 19):
        return None
    entry = AuditEntry.objects.filter(pk=given, actor=person(request)).first()
    return entry if entry is not None and actions.can_undo(entry) else None


def _back_to(request: HttpRequest, entry: AuditEntry) -> str:
    """The page that the undo started from, else that of what the entry changed; only pages of moderation, whatever
    the query says."""
    kind, pk = request.GET.get("kind", ""), request.GET.get("pk", "")
    if kind == "person" and pk.isascii() and pk.isdigit():
        return reverse("moderated_person", args=[pk])
    if kind in MODELS and pk.isascii() and pk.isdigit():
        return reverse("moderation_item", args=[kind, pk])
    label, _colon, changed = entry.target.partition(":")
    kinds = {model._meta.label_lower: name for name, model in MODELS.items()}
    is_text = not kind and label in kinds
    return reverse("moderation_item", args=[kinds[label], changed]) if is_text else reverse("moderation")
