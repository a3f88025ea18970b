"""Pages of runs: list, one run with its curves and log, cancel, resume."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.roles import Role
from rlhf import discounted, labels, reward_facts, tasks, visibility
from rlhf.charts import run_curves
from rlhf.charts.curve_options import CurveOptions
from rlhf.errors import RlhfError
from rlhf.models import Canary, Run
from rlhf.runs import comparing, cycle
from rlhf.runs.child_process import log_tail
from rlhf.views import canaries
from rlhf.views.overview import user_of

PAGE = 20


@require_GET
def run_list(request: HttpRequest) -> HttpResponse:
    rows = (
        visibility.runs_for(user_of(request))
        .filter(parent=None)
        .select_related("snapshot", "base_policy", "policy", "started_by")
    )
    page = Paginator(rows, PAGE).get_page(request.GET.get("page"))
    is_live = any(run.is_live for run in page)
    name = "rlhf/run_rows.html" if "fragment" in request.GET else "rlhf/runs.html"
    response = render(request, name, {"page": page, "is_live": is_live})
    response["X-Live"] = "1" if is_live else "0"
    return response


@require_GET
def run_page(request: HttpRequest, pk: int) -> HttpResponse:
    return render(request, "rlhf/run.html", _run_context(request, pk))


@require_GET
def run_part(request: HttpRequest, pk: int) -> HttpResponse:
    """The part of a run's page that is refreshed while it runs."""
    context = _run_context(request, pk)
    response = render(request, "rlhf/run_live.html", context)
    response["X-Live"] = "1" if context["run"].is_live else "0"
    return response


@require_GET
def run_metrics(request: HttpRequest, pk: int) -> JsonResponse:
    run = get_object_or_404(visibility.runs_for(user_of(request)), pk=pk)
    rows = [{"step": step, **values} for step, values in run.metrics.values_list("step", "values")]
    return JsonResponse({"run": run.pk, "kind": run.kind, "metrics": rows})


def _run_context(request: HttpRequest, pk: int) -> dict[str, Any]:
    """The log is for moderators: a training process may quote what it reads."""
    reader = user_of(request)
    rows = visibility.runs_for(reader).select_related("snapshot", "base_policy", "policy", "parent", "started_by")
    run = get_object_or_404(rows, pk=pk)
    stages = list(run.stages.order_by("pk").select_related("policy", "evaluation"))
    shown = next((stage for stage in reversed(stages) if stage.metrics.exists()), run)
    options = CurveOptions.read(request.GET)
    return {
        "run": run,
        "stages": stages,
        "asked": comparing.asked_by(run),
        "canary": canaries.shown(Canary.objects.filter(decision__evaluation__run__parent=run)),
        "demonstration": labels.DEMONSTRATION if _is_demonstration(run) else "",
        "planned": _planned(run, {stage.stage for stage in stages}),
        "groups": run_curves.groups(run, stages, options),
        "curve_options": options,
        "reward_facts": reward_facts.facts(run),
        "discounted": discounted.in_snapshot(run.snapshot),
        "log": log_tail(shown.path) if reader.has_role(Role.MODERATOR) else "",
        "evaluation": getattr(next((s for s in stages if s.kind == Run.Kind.EVALUATION), run), "evaluation", None),
    }


def _is_demonstration(run: Run) -> bool:
    return run.is_cycle and (run.config.get("judge") or {}).get("kind") == "gold"


def _planned(run: Run, there: set[str]) -> list[str]:
    """Stages of a cycle that are still to come."""
    if not run.is_cycle or not run.is_live or "judge" not in run.config:
        return []
    asked = [comparing.STAGE] if run.config.get("comparisons") else []
    return [stage for stage in (*cycle.stages_of(run), *asked) if stage not in there]


@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    run = get_object_or_404(Run, pk=pk)
    if cycle.cancel(run, actor=user_of(request)):
        messages.success(request, _("The run will stop after saving a checkpoint. You can resume it later."))
    else:
        messages.error(request, _("This run has already ended."))
    return redirect("run", pk)


@require_POST
def decide(request: HttpRequest, pk: int) -> HttpResponse:
    """Ends the wait for comparisons."""
    run = get_object_or_404(Run, pk=pk)
    if comparing.decide_now(run, actor=user_of(request)):
        tasks.enqueue(run.pk)
        messages.success(request, _("The gate decides with the comparisons that there are."))
    else:
        messages.error(request, _("This run does not wait for comparisons."))
    return redirect("run", pk)


@require_POST
def resume(request: HttpRequest, pk: int) -> HttpResponse:
    run = get_object_or_404(Run, pk=pk)
    if not run.is_resumable:
        messages.error(request, _("Only a run that failed or was cancelled can be resumed."))
        return redirect("run", pk)
    try:
        resumed = cycle.resume(run, actor=user_of(request))
    except RlhfError as error:
        messages.error(request, str(error))
    else:
        tasks.enqueue(resumed.pk)
        messages.success(request, _("The run resumes from its last checkpoint."))
    return redirect("run", pk)
