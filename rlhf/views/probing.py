"""The page of probing: violations and needless refusals of each policy for moderators; admins order and withdraw
probes."""

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from accounts.roles import Role
from chat.models import Policy
from feedback.models import Project, Rule
from feedback.probing import ordering
from feedback.probing.errors import ProbeError
from rlhf.forms import ProbeOrderForm
from rlhf.release import probe_figures
from rlhf.views.overview import user_of


@require_safe
def figures(request: HttpRequest) -> HttpResponse:
    return _page(request)


def _page(request: HttpRequest, form: ProbeOrderForm | None = None) -> HttpResponse:
    if form is None and user_of(request).has_role(Role.ADMIN):
        live = Policy.objects.filter(is_live=True)
        form = ProbeOrderForm(initial={"policies": live, "project": Project.objects.filter(key=Project.SITE).first()})
    page = {
        "policies": probe_figures.table(),
        "form": form,
        "needed": settings.GATE["probes_min"],
        "twins_needed": settings.GATE["twins_min"],
    }
    status = 400 if form is not None and form.errors else 200
    return render(request, "rlhf/probing.html", page, status=status)


@require_POST
def order(request: HttpRequest) -> HttpResponse:
    form = ProbeOrderForm(request.POST)
    if not form.is_valid():
        return _page(request, form)
    try:
        made = ordering.order(form.order(), by=user_of(request))
    except ProbeError as error:
        form.add_error(None, str(error))
        return _page(request, form)
    words = ngettext("%(n)d probe was ordered.", "%(n)d probes were ordered.", made)
    messages.success(request, words % {"n": made})
    return redirect("probing_figures")


@require_POST
def withdraw(request: HttpRequest) -> HttpResponse:
    """Of `policy`, by its name; of one `rule` alone, if it is given by its key."""
    policy = get_object_or_404(Policy, name=request.POST.get("policy", ""))
    key = request.POST.get("rule", "")
    rule = get_object_or_404(Rule, key=key) if key else None
    withdrawn = ordering.withdraw(policy, rule=rule, by=user_of(request))
    if withdrawn:
        words = ngettext("%(n)d probe was withdrawn.", "%(n)d probes were withdrawn.", withdrawn)
        messages.success(request, words % {"n": withdrawn})
    else:
        messages.info(request, _("No probe of it waited any more."))
    return redirect("probing_figures")
