"""Admins add rules, give them a place, retire them and bring them back."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts.requests import person
from feedback import rule_list, rules
from feedback.forms import NewRuleForm, ReasonForm
from feedback.models import Rule
from feedback.views.moderation import status_of

STEPS = {"up": -1, "down": 1}


@require_http_methods(["GET", "POST"])
def add_rule(request: HttpRequest) -> HttpResponse:
    form = NewRuleForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            rule = rule_list.add(
                values["key"], values["group"], values, actor=person(request), reason=values["reason"]
            )
        except rule_list.RuleKeyTaken as error:
            form.add_error("key", str(error))
        else:
            messages.success(request, _("The rule was added. It applies to judgements from now on."))
            return redirect("edit_rule", rule.key)
    return render(request, "feedback/add_rule.html", {"form": form}, status=400 if form.errors else 200)


@require_POST
def place_rule(request: HttpRequest, key: str) -> HttpResponse:
    """`step`: up or down within its group; `group`: into another one."""
    rule, actor = get_object_or_404(Rule, key=key), person(request)
    step, group = STEPS.get(request.POST.get("step", "")), request.POST.get("group", "")
    if step is not None:
        rule_list.move(rule, step, actor=actor)
    elif group in rules.GROUPS:
        rule_list.put_into(rule, group, actor=actor)
        messages.success(request, _("The rule is in another group now."))
        return redirect("edit_rule", key)
    return redirect(f"/rules/#{key}")


@require_http_methods(["GET", "POST"])
def retire_rule(request: HttpRequest, key: str) -> HttpResponse:
    rule = get_object_or_404(Rule, key=key)
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        rule_list.retire(rule, actor=person(request), reason=form.cleaned_data["reason"])
        messages.success(request, _("The rule was retired."))
        return redirect("rules")
    context = {"rule": rule, "version": rule.versions.first(), "form": form}
    return render(request, "feedback/retire_rule.html", context, status=status_of(form))


@require_POST
def bring_back_rule(request: HttpRequest, key: str) -> HttpResponse:
    rule_list.bring_back(get_object_or_404(Rule, key=key), actor=person(request))
    messages.success(request, _("The rule was restored. Switch it on when it is to be used."))
    return redirect("edit_rule", key)
