"""The training overview: live policy, feedback to train on, running cycle, promotions; admins start and roll back."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.models import User
from chat.errors import BadPolicy, NoLivePolicy
from chat.models import Policy
from rlhf import labels, tasks, visibility
from rlhf.errors import RlhfError
from rlhf.forms import AuditReasonForm, StartForm
from rlhf.models import Promotion
from rlhf.release import canary_rows, promotion
from rlhf.runs import comparing, cycle, preflight


def user_of(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # the permission table let nobody else pass
    return request.user


@require_GET
def overview(request: HttpRequest) -> HttpResponse:
    live = Policy.objects.filter(is_live=True).first()
    evaluations = visibility.evaluations_for(user_of(request))
    context = {
        "live": live,
        "live_since": Promotion.objects.filter(policy=live).first(),
        "live_run": live.runs.filter(kind="policy").first() if live is not None else None,
        "canary": canary_rows.running(),
        "can_roll_back": promotion.can_roll_back(),
        "rollback_form": AuditReasonForm(auto_id="rollback_%s"),
        "start_form": StartForm(),
        "preflight": preflight.check(),
        **_under_way(),
        "promotions": Promotion.objects.select_related("policy", "previous", "actor", "decision")[:12],
        "evaluations": evaluations.select_related("policy", "baseline").order_by("-pk")[:6],
    }
    return render(request, "rlhf/overview.html", context)


@require_GET
def needs(request: HttpRequest) -> JsonResponse:
    """What keeps a cycle from starting, for programs."""
    algorithm = request.GET.get("algorithm", "ppo")
    return JsonResponse(preflight.check(algorithm if algorithm in labels.ALGORITHMS else "ppo").as_json())


@require_GET
def under_way(request: HttpRequest) -> HttpResponse:
    """The part of the overview that is refreshed while a cycle runs."""
    found = _under_way()
    response = render(request, "rlhf/under_way.html", found)
    response["X-Live"] = "1" if found["under_way"] is not None else "0"
    return response


def _under_way() -> dict[str, Any]:
    run = cycle.live_cycle()
    return {"under_way": run, "asked": comparing.asked_by(run)}


@require_POST
def start(request: HttpRequest) -> HttpResponse:
    """`unqualified`: on trains though the gate will refuse the policy for want of a judge."""
    form = StartForm(request.POST)
    wanted: dict[str, Any] = form.cleaned_data if form.is_valid() else {"algorithm": "ppo"}
    if "comparisons" in form.errors or "judge" in form.errors:
        messages.error(request, _("Choose who judges, and a number of comparisons from 0 to 1000."))
        return redirect("training")
    try:
        run = cycle.start(
            started_by=user_of(request),
            algorithm=wanted["algorithm"],
            seed=cycle.next_seed(),
            unqualified=request.POST.get("unqualified") == "on",
            judge=wanted.get("judge") or "auto",
            comparisons=wanted.get("comparisons") or 0,
        )
    except (RlhfError, NoLivePolicy, BadPolicy) as error:
        messages.error(request, str(getattr(error, "message", error)))
        return redirect("training")
    tasks.enqueue(run.pk)
    return redirect("run", run.pk)


@require_POST
def roll_back(request: HttpRequest) -> HttpResponse:
    try:
        made = promotion.rollback(actor=user_of(request), reason=request.POST.get("reason", ""))
    except RlhfError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, made.announcement())
    return redirect("training")
