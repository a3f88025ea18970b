"""Stores what an annotator chose for their own protection, on their page of settings."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.requests import person
from feedback.forms import CareForm
from feedback.judgements import care


@require_POST
def choose(request: HttpRequest) -> HttpResponse:
    """`rule` and `group`, as often as there are some to leave out, `harmful_a_day` and `break_after_minutes`."""
    form = CareForm(request.POST)
    if form.is_valid():
        rules, groups = request.POST.getlist("rule"), request.POST.getlist("group")
        care.choose(person(request), rules, groups, **form.cleaned_data)
        messages.success(request, _("Your choice was saved."))
    else:
        messages.error(request, _("Nothing was saved: give whole numbers, or leave the fields empty."))
    return redirect("account")
