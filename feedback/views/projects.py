"""The pages of projects: the list, a new one, and one with its progress, people, links and settings.

The permission table opens them to annotators. Who may not see a project, or not do this with it, gets 404.
"""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.models import User
from accounts.requests import person
from feedback.judgements.languages import named
from feedback.models import Project, ProjectChoice, ProjectMember
from feedback.projects import access, asks, invitations, offers, people, progress, setting_up
from feedback.projects.errors import KeyTaken, LinesRefused, NotAMember, ProjectError, QuestionRefused
from feedback.projects.forms import (
    CloneForm,
    InvitationForm,
    NewProjectForm,
    PeopleForm,
    PromptsForm,
    SettingsForm,
    SiteForm,
)
from feedback.projects.importing import Imported
from feedback.questions import rate
from feedback.trust import too_fast


@require_safe
def project_list(request: HttpRequest) -> HttpResponse:
    reader = person(request)
    roles = dict(ProjectMember.objects.filter(person=reader).values_list("project", "role"))
    chosen = ProjectChoice.objects.filter(person=reader).values_list("project", flat=True).first()
    found = sorted(access.visible_to(reader).distinct().order_by("pk"), key=lambda row: not row.is_site)
    rows = [(row, ProjectMember.Role(roles[row.pk]).label if row.pk in roles else "") for row in found]
    page = {"rows": rows, "chosen": chosen, "may_make": access.may_make(reader)}
    return render(request, "feedback/projects/projects.html", page)


@require_http_methods(["GET", "HEAD", "POST"])
def new_project(request: HttpRequest) -> HttpResponse:
    maker = person(request)
    if not access.may_make(maker):
        raise Http404
    form = NewProjectForm(request.POST, request.FILES) if request.method == "POST" else NewProjectForm()
    if request.method == "POST" and form.is_valid():
        try:
            made, stored = setting_up.create(form.plan(), by=maker)
        except KeyTaken as error:
            form.add_error("key", str(error))
        except LinesRefused as error:
            form.refuse("people" if error.code == "bad_people" else "file", error)
        else:
            messages.success(request, _said(stored))
            return redirect("project", made.key)
    status = 400 if form.errors else 200
    return render(request, "feedback/projects/new_project.html", {"form": form}, status=status)


@require_safe
def project(request: HttpRequest, key: str) -> HttpResponse:
    return _page(request, _seen(request, key))


@require_POST
def change_project(request: HttpRequest, key: str) -> HttpResponse:
    of = led(request, key)
    form = _settings_form(of, request.POST)
    if not form.is_valid():
        return _page(request, of, change_form=form)
    try:
        if setting_up.change(of, form.cleaned_data, by=person(request)):
            messages.success(request, _("The project was changed."))
    except QuestionRefused as error:
        form.add_error(error.about, str(error))
        return _page(request, of, change_form=form)
    return redirect("project", key)


@require_POST
def add_prompts(request: HttpRequest, key: str) -> HttpResponse:
    of = led(request, key)
    form = PromptsForm(request.POST, request.FILES)
    if form.is_valid():
        form.read_prompts(replies=asks.replies_in_file(of.question, of.replies), languages=of.languages)
    if not form.errors:
        try:
            messages.success(request, _said(setting_up.add_prompts(of, form.lines, by=person(request))))
            return redirect("project", key)
        except LinesRefused as error:
            form.refuse("file", error)
        except ProjectError as error:
            form.add_error(None, str(error))
    return _page(request, of, prompts_form=form)


@require_POST
def stop_project(request: HttpRequest, key: str) -> HttpResponse:
    return _set_state(
        request, key, Project.State.STOPPED, _("Stopped. None of its tasks is given out until you resume it.")
    )


@require_POST
def resume_project(request: HttpRequest, key: str) -> HttpResponse:
    return _set_state(request, key, Project.State.OPEN, _("Resumed."))


def _set_state(request: HttpRequest, key: str, state: str, said: str) -> HttpResponse:
    of = led(request, key)
    try:
        if setting_up.set_state(of, state, by=person(request)):
            messages.success(request, said)
    except ProjectError as error:
        messages.error(request, str(error))
    return redirect("project", key)


@require_POST
def clone_project(request: HttpRequest, key: str) -> HttpResponse:
    of = led(request, key)
    if not access.may_make(person(request)):
        raise Http404
    form = CloneForm(request.POST)
    if form.is_valid():
        try:
            made = setting_up.clone(of, **form.cleaned_data, by=person(request))
        except ProjectError as error:
            form.add_error("key", str(error))
        else:
            return redirect("project", made.key)
    return _page(request, of, clone_form=form)


@require_POST
def project_first(request: HttpRequest, key: str) -> HttpResponse:
    """Its tasks come first for this person."""
    offers.choose(person(request), _seen(request, key))
    return redirect("rank")


@require_POST
def add_people(request: HttpRequest, key: str) -> HttpResponse:
    of = led(request, key)
    form = PeopleForm(request.POST)
    if form.is_valid():
        try:
            added = people.add(of, form.lines, by=person(request))
        except LinesRefused as error:
            form.refuse("names", error)
        else:
            said = ngettext("%(n)d person was added or changed.", "%(n)d people were added or changed.", added)
            messages.success(request, said % {"n": added})
            return redirect("project", key)
    return _page(request, of, people_form=form)


@require_POST
def remove_person(request: HttpRequest, key: str, person_id: int) -> HttpResponse:
    of = led(request, key)
    try:
        people.remove(of, person_id, by=person(request))
    except NotAMember:
        raise Http404 from None
    messages.success(request, _("Removed. What they judged stays."))
    return redirect("project", key) if access.may_lead(person(request), of) else redirect("projects")


@require_POST
def invite_people(request: HttpRequest, key: str) -> HttpResponse:
    of = led(request, key)
    form = InvitationForm(request.POST)
    if form.is_valid():
        given = form.cleaned_data
        try:
            invitations.invite(
                of,
                given["role"],
                given["languages"],
                form.expires_at(),
                given["max_uses"],
                by=person(request),
            )
            return redirect(reverse("project", args=[key]) + "#links")
        except ProjectError as error:
            form.add_error(None, str(error))
    return _page(request, of, invitation_form=form)


@require_POST
def revoke_invitation(request: HttpRequest, key: str, pk: int) -> HttpResponse:
    if not invitations.revoke(led(request, key), pk, by=person(request)):
        raise Http404
    messages.success(request, _("Revoked. Who came by the link stays."))
    return redirect(reverse("project", args=[key]) + "#links")


# --- who may, and what the page shows -------------------------------------------------------------


def _seen(request: HttpRequest, key: str) -> Project:
    found = access.visible_to(person(request)).filter(key=key).select_related("policy").first()
    if found is None:
        raise Http404
    return found


def led(request: HttpRequest, key: str) -> Project:
    """Raises Http404 for whoever does not lead it."""
    found = _seen(request, key)
    if not access.may_lead(person(request), found):
        raise Http404
    return found


def _settings_form(of: Project, data: Any = None) -> SettingsForm:
    values = {name: getattr(of, name) for name in setting_up.CHANGED}
    return SiteForm(data, initial=values) if of.is_site else SettingsForm(data, initial=values)


def _page(request: HttpRequest, of: Project, **failed: forms.Form) -> HttpResponse:
    """`failed`: the form that was refused, with what was entered and why."""
    reader = person(request)
    leads = access.may_lead(reader, of)
    page = {
        "project": of,
        "progress": progress.of(of),
        "languages": named(of.languages),
        "rule_name": _rule_name(of),
        "attributes": [rate.label(name) for name in of.attributes],
        "leads": leads,
        "is_judge": of.is_site or ProjectMember.objects.filter(person=reader, project=of).exists(),
        "is_first": ProjectChoice.objects.filter(person=reader, project=of).exists(),
        **(_for_leads(request, of, reader) if leads else {}),
        **failed,
    }
    return render(request, "feedback/projects/project.html", page, status=400 if failed else 200)


def _rule_name(of: Project) -> str:
    newest = of.rule.versions.order_by("-number").first() if of.rule is not None else None
    return newest.name if newest is not None else ""


def _for_leads(request: HttpRequest, of: Project, reader: User) -> dict[str, Any]:
    links = [
        {"invitation": row, "address": request.build_absolute_uri(invitations.path_of(row))}
        for row in of.invitations.filter(revoked_at=None)
    ]
    return {
        "members": of.members.select_related("person").order_by("person__username"),
        "links": links,
        "may_make": access.may_make(reader),
        "too_fast": too_fast.waiting(of),
        "change_form": _settings_form(of),
        "prompts_form": PromptsForm(),
        "people_form": PeopleForm(),
        "invitation_form": InvitationForm(auto_id="invite-%s"),
        "clone_form": CloneForm(auto_id="clone-%s"),
    }


def _said(stored: Imported) -> str:
    parts = [
        ngettext("%(n)d prompt was added.", "%(n)d prompts were added.", stored.prompts) % {"n": stored.prompts},
        _("Held out: %(n)d.") % {"n": stored.held_out},
    ]
    if stored.doubles:
        parts.append(_("In the project already, or twice in the file: %(n)d.") % {"n": stored.doubles})
    if stored.other_side:
        parts.append(
            _("On another side than stated, since they nearly repeat other prompts: %(n)d.")
            % {"n": stored.other_side}
        )
    return " ".join(parts)
