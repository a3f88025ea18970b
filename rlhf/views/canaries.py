"""A policy on a share of the chats: what pages show of it, and an admin's begin and end."""

from dataclasses import dataclass
from datetime import timedelta

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from chat.models import Policy
from rlhf.charts import canary_chart
from rlhf.charts.line_charts import LineChart
from rlhf.errors import RlhfError
from rlhf.forms import CanaryForm
from rlhf.models import Canary
from rlhf.release import canary, canary_rows
from rlhf.views.overview import user_of


@dataclass(frozen=True)
class ShownCanary:
    row: Canary
    chart: LineChart | None

    @property
    def needed(self) -> float:
        """The evidence that decides."""
        return 1 / float(self.row.limits["level"])

    @property
    def confidence(self) -> float:
        return 1 - float(self.row.limits["level"])

    @property
    def days_left(self) -> int:
        """Begun days count."""
        return max(0, -((timezone.now() - self.row.until) // timedelta(days=1)))


def shown(rows: QuerySet[Canary]) -> ShownCanary | None:
    """The newest of them."""
    row = rows.select_related("policy", "decision__evaluation__baseline", "started_by").first()
    return None if row is None else ShownCanary(row, canary_chart.chart(row))


@require_POST
def switch(request: HttpRequest, name: str) -> HttpResponse:
    """`is_on`: on gives the policy `percent` of the chats, anything else ends that."""
    policy = get_object_or_404(Policy, name=name)
    try:
        if request.POST.get("is_on") == "on":
            _begin(request, policy)
        else:
            _stop(request, policy)
    except RlhfError as error:
        messages.error(request, str(error))
    return redirect("policy", name)


def _begin(request: HttpRequest, policy: Policy) -> None:
    form = CanaryForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Give the share in percent, from 1 to 100."))
        return
    percent = form.cleaned_data["percent"]
    canary.begin(policy, actor=user_of(request), percent=percent)
    words = _("%(policy)s answers %(percent)d %% of the chats whose owners allow training, from the next turn on.")
    messages.success(request, words % {"policy": policy.name, "percent": percent})


def _stop(request: HttpRequest, policy: Policy) -> None:
    running = canary_rows.running()
    if running is not None and running.policy == policy and canary.stop(running, actor=user_of(request)):
        messages.success(request, _("The live policy answers all chats again."))
    else:
        messages.error(request, _("%(policy)s answers no share of the chats.") % {"policy": policy.name})
