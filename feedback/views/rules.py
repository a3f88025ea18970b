"""Pages of the rules: everybody reads those in force; admins edit with history, switch, and block phrases."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.requests import person
from accounts.roles import Role
from feedback import blocked_phrases, rules
from feedback.forms import PHRASE_REFUSALS, PhraseForm, RuleForm
from feedback.models import BlockedPhrase, Rule


@require_GET
def rule_list(request: HttpRequest) -> HttpResponse:
    """Those that are switched off are shown to admins alone; those that are retired, to everybody, apart."""
    only_on = not person(request).has_role(Role.ADMIN)
    context = {"groups": rules.grouped(rules.current(only_on=only_on)), "retired": rules.retired()}
    return render(request, "feedback/rules.html", context)


@require_http_methods(["GET", "POST"])
def edit_rule(request: HttpRequest, key: str) -> HttpResponse:
    rule = get_object_or_404(Rule, key=key)
    newest = rule.versions.first()
    initial = {"based_on": newest.number if newest else 0}
    form = RuleForm(request.POST or None, instance=newest, initial=initial)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            version = rules.edit(
                rule, values, actor=person(request), based_on=values["based_on"], reason=values["reason"]
            )
        except rules.StaleEdit:
            form.add_error(
                None, _("Somebody else changed this rule in the meantime. Check the history and edit it again.")
            )
        except rules.RuleRetired as error:
            form.add_error(None, str(error))
        else:
            messages.success(
                request, _("Version %(number)d applies to all judgements from now on.") % {"number": version.number}
            )
            return redirect("edit_rule", key)
    return _edit_page(request, rule, form, PhraseForm())


def _edit_page(request: HttpRequest, rule: Rule, form: RuleForm, phrase_form: PhraseForm) -> HttpResponse:
    context = {
        "rule": rule,
        "form": form,
        "versions": rules.history(rule),
        "phrase_form": phrase_form,
        "phrases": rule.phrases.all(),
        "groups": [(key, name, key == rule.group) for key, name in rules.GROUPS.items()],
    }
    return render(
        request, "feedback/edit_rule.html", context, status=400 if form.errors or phrase_form.errors else 200
    )


@require_POST
def add_phrase(request: HttpRequest, key: str) -> HttpResponse:
    rule = get_object_or_404(Rule, key=key)
    form = PhraseForm(request.POST)
    if form.is_valid():
        try:
            added = blocked_phrases.add(rule, **form.cleaned_data, actor=person(request))
        except blocked_phrases.PhraseRefused as refusal:
            form.add_error("phrase", str(PHRASE_REFUSALS[refusal.code]))
        else:
            messages.success(request, _("“%(phrase)s” is blocked from now on.") % {"phrase": added.phrase})
            return redirect(reverse("edit_rule", args=[key]) + "#phrases")
    newest = rule.versions.first()
    initial = {"based_on": newest.number if newest else 0}
    return _edit_page(request, rule, RuleForm(instance=newest, initial=initial), form)


@require_POST
def remove_phrase(request: HttpRequest, key: str, phrase_id: int) -> HttpResponse:
    phrase = get_object_or_404(BlockedPhrase, rule__key=key, pk=phrase_id)
    blocked_phrases.remove(phrase, actor=person(request))
    messages.success(request, _("“%(phrase)s” is no longer blocked.") % {"phrase": phrase.phrase})
    return redirect(reverse("edit_rule", args=[key]) + "#phrases")


@require_POST
def switch_rule(request: HttpRequest, key: str) -> HttpResponse:
    rule = get_object_or_404(Rule, key=key)
    is_on = request.POST.get("is_on") == "1"
    try:
        rules.switch(rule, is_on, actor=person(request), reason=request.POST.get("reason", "")[:500])
    except rules.RuleRetired as error:
        messages.error(request, str(error))
        return redirect("rules")
    messages.success(
        request, _("Rule switched on.") if is_on else _("Rule switched off. Earlier judgements do not change.")
    )
    return redirect("rules")
