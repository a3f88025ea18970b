"""People as moderators see them: the list with new accounts, a person's page, and acts on an account."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from accounts.audit_labels import ACTS
from accounts.models import User
from accounts.requests import person
from base.requests import filters_of
from feedback.errors import ModerationError
from feedback.forms import NoteForm, PeopleFilter, ReasonForm, SuspendForm, WarnForm
from feedback.models import GivenWarning
from feedback.moderation import actions, consequences, people, reviews
from feedback.moderation.consequences import Verb
from feedback.views.moderation import counts, status_of

PEOPLE_A_PAGE = 50
VERBS = {
    verb.name: verb
    for verb in (
        Verb("warn", ACTS["user.warn"], "warning", "w", is_grave=True),
        Verb("suspend", ACTS["user.suspend"], "leave", "s", is_grave=True),
        Verb("lift", ACTS["user.lift"], "person", "l", is_grave=True),
        Verb("approve", ACTS["user.approve"], "check", "a"),
    )
}
FORMS: dict[str, Any] = {"warn": WarnForm, "suspend": SuspendForm}


@require_GET
def moderated_people(request: HttpRequest) -> HttpResponse:
    form = PeopleFilter(request.GET)
    given: dict[str, Any] = form.cleaned_data if form.is_valid() else {"name": "", "new": False}
    found = people.named(reviews.new_accounts() if given["new"] else people.everybody(), given["name"].strip())
    page = Paginator(people.with_numbers(found), PEOPLE_A_PAGE).get_page(request.GET.get("page"))
    context = {"form": form, "page": page, "filters": filters_of(request), "counts": counts(), "is_new": given["new"]}
    return render(request, "feedback/moderated_people.html", context)


@require_GET
def moderated_person(request: HttpRequest, pk: int) -> HttpResponse:
    about = get_object_or_404(User, pk=pk)
    found = people.page_of(about)
    context = {
        "of": found,
        "verbs": _offered(about, person(request)),
        "undoable": {entry.pk for entry in found.entries if actions.can_undo(entry)},
        "note_form": NoteForm(),
    }
    return render(request, "feedback/moderated_person.html", context)


@require_http_methods(["GET", "POST"])
def moderate_person(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """GET shows whom it is about and what the verb will do; POST does it."""
    about = get_object_or_404(User, pk=pk)
    if verb not in VERBS:
        raise Http404
    form = FORMS.get(verb, ReasonForm)(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            _carry_out(verb, about, person(request), form.cleaned_data)
        except ModerationError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("Done: %(act)s.") % {"act": VERBS[verb].title})
            return redirect("moderated_person", pk)
    lines = consequences.lines_about_person(verb, about.username)
    context = {"account": about, "verb": VERBS[verb], "form": form, "lines": lines}
    return render(request, "feedback/moderate_person.html", context, status=status_of(form))


@require_http_methods(["GET", "POST"])
def withdraw_warning(request: HttpRequest, pk: int, warning_id: int) -> HttpResponse:
    warning = get_object_or_404(GivenWarning, pk=warning_id, person=pk)
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            people.withdraw_warning(warning, person(request), form.cleaned_data["reason"])
        except ModerationError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("The warning was withdrawn."))
            return redirect("moderated_person", pk)
    context = {"warning": warning, "form": form, "account": warning.person}
    return render(request, "feedback/withdraw_warning.html", context, status=status_of(form))


def _offered(about: User, actor: User) -> list[Verb]:
    may = actions.may_suspend(actor, about)
    is_new = reviews.new_accounts().filter(pk=about.pk).exists()
    possible = {
        "warn": may,
        "suspend": may and not about.is_suspended,
        "lift": may and about.is_suspended,
        "approve": is_new,
    }
    return [verb for name, verb in VERBS.items() if possible[name]]


def _carry_out(verb: str, about: User, actor: User, values: dict[str, Any]) -> None:
    if verb == "warn":
        people.warn(about, actor, values["reason"])
    elif verb == "approve":
        reviews.approve(about, actor, values["reason"])
    elif verb == "suspend":
        actions.suspend(about, actor, values["reason"], until=values["until"])
    else:
        actions.lift(about, actor, values["reason"])
