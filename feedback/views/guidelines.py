"""Pages of the guidelines: annotators read those in force; admins edit them, with a preview and their history."""

from itertools import pairwise
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from accounts.requests import person
from feedback import guidelines, rules
from feedback.forms import GuidelinesForm
from feedback.models import Guidelines


@require_GET
def read(request: HttpRequest) -> HttpResponse:
    """Of the site."""
    in_force = guidelines.current()
    guidelines.see(person(request), in_force.number)
    context = {"guidelines": in_force, "groups": rules.grouped(rules.current())}
    return render(request, "feedback/guidelines.html", context)


@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest) -> HttpResponse:
    """`preview` shows the texts as annotators would read them; without it they are stored."""
    in_force = guidelines.current()
    form = GuidelinesForm(request.POST or None, instance=in_force, initial={"based_on": in_force.number})
    is_valid = request.method == "POST" and form.is_valid()
    if is_valid and "preview" not in request.POST and (made := _stored(request, form)):
        said = _("Version %(number)d applies to all judgements from now on.")
        messages.success(request, said % {"number": made.number})
        return redirect("edit_guidelines")
    context = {
        "form": form,
        "preview": form.cleaned_data if is_valid and not form.errors else None,
        "versions": _with_changes(guidelines.history()),
    }
    return render(request, "feedback/edit_guidelines.html", context, status=400 if form.errors else 200)


def _stored(request: HttpRequest, form: GuidelinesForm) -> Guidelines | None:
    """None where somebody else was quicker; then the form says so and keeps what was written."""
    values = form.cleaned_data
    try:
        return guidelines.edit(
            values["text_en"], values["text_ko"], actor=person(request), based_on=values["based_on"]
        )
    except guidelines.StaleGuidelines as error:
        said = _(
            "Somebody else stored version %(number)d in the meantime. Take over what it changed, below, and save."
        )
        form.add_error(None, said % {"number": error.newest})
        again = request.POST.copy()
        again["based_on"] = str(error.newest)
        form.data = again
        return None


def _with_changes(versions: list[Guidelines]) -> list[dict[str, Any]]:
    """Each version with what it changed in the one before."""
    changed = [
        {
            "version": after,
            "english": guidelines.difference(before.text_en, after.text_en),
            "korean": guidelines.difference(before.text_ko, after.text_ko),
        }
        for after, before in pairwise(versions)
    ]
    return [*changed, {"version": versions[-1]}]
