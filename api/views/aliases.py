"""Page on which admins manage aliases."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts.requests import person
from api import aliases
from api.forms import AliasForm, NewAliasForm
from api.models import Alias


@require_http_methods(["GET", "HEAD", "POST"])
def alias_list(request: HttpRequest) -> HttpResponse:
    """The table; a POST adds a row."""
    who = person(request)
    form = NewAliasForm(who, request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        name = form.cleaned_data["name"]
        try:
            aliases.add(name, form.cleaned_data["policy"], actor=who)
        except aliases.NameTaken:
            form.add_error("name", _("This alias already exists. Change it in the table."))
        else:
            messages.success(request, _("Programs can use the name “%(name)s” from now on.") % {"name": name})
            return redirect("aliases")
    return _table(request, new=form)


@require_POST
def change_alias(request: HttpRequest, alias_id: int) -> HttpResponse:
    alias, who = get_object_or_404(Alias, pk=alias_id), person(request)
    form = AliasForm(who, request.POST, alias=alias)
    if not form.is_valid():
        return _table(request, bound=form)
    aliases.change(alias, form.cleaned_data["policy"], actor=who)
    messages.success(
        request, _("“%(name)s” refers to another model from the next request on.") % {"name": alias.name}
    )
    return redirect("aliases")


@require_POST
def remove_alias(request: HttpRequest, alias_id: int) -> HttpResponse:
    alias = get_object_or_404(Alias, pk=alias_id)
    aliases.remove(alias, actor=person(request))
    messages.success(request, _("The alias “%(name)s” was removed.") % {"name": alias.name})
    return redirect("aliases")


def _table(request: HttpRequest, new: NewAliasForm | None = None, bound: AliasForm | None = None) -> HttpResponse:
    who = person(request)
    rows = [
        bound if bound and bound.alias == alias else AliasForm(who, alias=alias)
        for alias in Alias.objects.select_related("policy")
    ]
    is_refused = bound is not None or bool(new and new.is_bound)
    context = {"rows": rows, "new": new or NewAliasForm(who)}
    return render(request, "api/aliases.html", context, status=400 if is_refused else 200)
