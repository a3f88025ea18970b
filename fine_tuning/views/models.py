"""Pages of fine-tuned models: the list, the form of a new job with its estimate, and each job."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.models import User
from accounts.requests import person
from accounts.roles import Role
from chat import instructions, policies
from chat.errors import BadPolicy, ChatError
from chat.models import Conversation, default_consent
from fine_tuning import base_models, fine_tuned_models, model_names, model_zip
from fine_tuning.data import files
from fine_tuning.errors import NoRewardModel, TuningError
from fine_tuning.forms import JobForm, ShareForm
from fine_tuning.jobs import curves, estimates, job_directory, lifecycle, plan
from fine_tuning.jobs.comparison_table import comparison_table
from fine_tuning.jobs.lifecycle import Order
from fine_tuning.models import FineTune
from rlhf.runs.child_process import log_tail

PAGE = 20
State = FineTune.State


def _jobs_of(who: User) -> QuerySet[FineTune]:
    rows = FineTune.objects.select_related("run", "policy", "base_policy", "result_file", "group")
    return rows.filter(owner=who).order_by("-created_at", "-id")


@require_GET
def job_list(request: HttpRequest) -> HttpResponse:
    who = person(request)
    rows = _jobs_of(who)
    page = Paginator(rows, PAGE).get_page(request.GET.get("page"))
    shared = FineTune.objects.filter(
        ~Q(owner=who), group__in=who.groups.all(), state=State.SUCCEEDED, policy__retired_at=None
    )
    is_live = any(not job.is_over and job.state != State.PAUSED for job in page)
    context = {
        "page": page,
        "shared": shared.select_related("policy", "base_policy"),
        "is_live": is_live,
        "has_files": files.training_files_of(who).exists(),
    }
    name = "fine_tuning/job_rows.html" if "fragment" in request.GET else "fine_tuning/jobs.html"
    response = render(request, name, context)
    response["X-Live"] = "1" if is_live else "0"
    return response


@require_http_methods(["GET", "POST"])
def create(request: HttpRequest) -> HttpResponse:
    """The form with an estimate of the job; a POST creates the job."""
    who = person(request)
    if request.method == "POST":
        form = JobForm(who, request.POST)
        if form.is_valid():
            try:
                job = lifecycle.create(_order_of(who, form))
            except (TuningError, ChatError) as error:
                form.add_error(None, str(getattr(error, "message", "")) or str(error))
            else:
                return redirect("own_model", job.id)
        return render(request, "fine_tuning/new.html", _form_context(form, form), status=400)
    initial = _initial_values(request, who)
    form, bound = JobForm(who, initial=initial), JobForm(who, initial)
    return render(request, "fine_tuning/new.html", _form_context(form, bound))


def _initial_values(request: HttpRequest, who: User) -> dict[str, Any]:
    """From the query of the address, else the newest file and the first model."""
    newest = files.training_files_of(who).first()
    defaults = {
        "model": next(iter(base_models.available_to(who)), ""),
        "training": newest.pk if newest else "",
        "method": FineTune.Method.SUPERVISED.value,
        "scope": FineTune.Scope.LORA.value,
    }
    return defaults | request.GET.dict()


def _form_context(form: JobForm, bound: JobForm) -> dict[str, Any]:
    return {"form": form, **_estimate_context(bound), "scopes": _scopes(form)}


def _scopes(form: JobForm) -> list[dict[str, Any]]:
    chosen = form["scope"].value()
    return [{"value": value, "label": label, "is_chosen": value == chosen} for value, label in FineTune.Scope.choices]


def _estimate_context(form: JobForm) -> dict[str, Any]:
    """The estimate of the job as filled in so far; empty where the form is too incomplete."""
    form.is_valid()
    cleaned = getattr(form, "cleaned_data", {})
    wrong = [str(error) for name in ("training", "validation", "scope") for error in form.errors.get(name, [])]
    if wrong and form.data.get("training"):
        return {"trouble": " ".join(wrong)}
    if not cleaned.get("model") or cleaned.get("training") is None:
        return {}
    try:
        if cleaned.get("method") == FineTune.Method.REINFORCEMENT:
            lifecycle.reward_model(form.policy())
        estimate = estimates.estimate(
            cleaned["model"],
            form.policy(),
            cleaned["training"],
            method=cleaned.get("method", "supervised"),
            has_validation=cleaned.get("validation") is not None,
            hyperparameters=form.hyperparameters(),
        )
    except (BadPolicy, NoRewardModel, OSError) as error:
        return {"trouble": str(getattr(error, "message", "")) or str(error)}
    return {"estimate": estimate, "chosen_scope": cleaned.get("scope", "lora")}


@require_GET
def estimate_part(request: HttpRequest) -> HttpResponse:
    """Only the estimate, to refresh it while the form is filled in."""
    form = JobForm(person(request), request.GET)
    return render(request, "fine_tuning/estimate.html", _estimate_context(form))


def _order_of(who: User, form: JobForm) -> Order:
    cleaned = form.cleaned_data
    return Order(
        person=who,
        model=cleaned["model"],
        policy=form.policy(),
        training=cleaned["training"],
        validation=cleaned["validation"],
        method=cleaned["method"],
        scope=cleaned["scope"],
        hyperparameters=form.hyperparameters(),
        suffix=model_names.suffix_of(cleaned["suffix"]),
        seed=cleaned["seed"] or 0,
    )


# --- one job ------------------------------------------------------------------------------------------------------


@require_GET
def job_page(request: HttpRequest, job_id: str) -> HttpResponse:
    job = _visible(request, job_id)
    context = _job_context(job, person(request)) | {
        "share_form": ShareForm(person(request), initial={"group": job.group})
    }
    return render(request, "fine_tuning/job.html", context)


@require_GET
def job_part(request: HttpRequest, job_id: str) -> HttpResponse:
    context = _job_context(_visible(request, job_id), person(request))
    response = render(request, "fine_tuning/job_live.html", context)
    response["X-Live"] = "1" if context["is_live"] else "0"
    return response


def _job_context(job: FineTune, who: User) -> dict[str, Any]:
    result = job.result if job.state == State.SUCCEEDED else {}
    comparison, is_own = result.get("comparison"), job.owner_id == who.pk
    return {
        "job": job,
        "is_own": is_own,
        "samples": (comparison or {}).get("samples") if is_own else None,
        "is_live": not job.is_over and job.state != State.PAUSED,
        "events": job.events.filter(kind="message"),
        "charts": curves.charts(job),
        **_cost_context(job),
        "ahead": lifecycle.ahead_of(job),
        "result": result,
        "comparison": comparison,
        "table": comparison_table(comparison) if comparison else None,
        "lineage": fine_tuned_models.lineage(job.policy) if job.policy else [],
        "log": log_tail(job_directory.path_of(job)) if job.state == State.FAILED else "",
        "can_resume": lifecycle.can_resume(job),
        "is_usable": job.policy is not None and job.policy.retired_at is None,
    }


def _cost_context(job: FineTune) -> dict[str, Any]:
    """The bill, else the planned cost, if it is known."""
    billed = lifecycle.billed(job)
    if billed is not None:
        return {"cost": plan.dollars(billed)}
    if not job.tokens or job.base_policy.retired_at is not None:
        return {}
    planned = lifecycle.plan_of(job)
    return {"cost": plan.dollars(planned.cost), "is_most": bool(planned.workload.replies)}


def _act(request: HttpRequest, job_id: str, act: Any, said: str) -> HttpResponse:
    try:
        act(_own(request, job_id))
    except (TuningError, ChatError) as error:
        messages.error(request, str(getattr(error, "message", "")) or str(error))
    else:
        messages.success(request, said)
    return redirect("own_model", job_id)


@require_POST
def cancel(request: HttpRequest, job_id: str) -> HttpResponse:
    return _act(request, job_id, lifecycle.cancel, _("The job was cancelled."))


@require_POST
def pause(request: HttpRequest, job_id: str) -> HttpResponse:
    return _act(request, job_id, lifecycle.pause, _("The job is paused. What it has learned so far is saved."))


@require_POST
def resume(request: HttpRequest, job_id: str) -> HttpResponse:
    return _act(request, job_id, lifecycle.resume, _("The job resumes from its checkpoint."))


@require_POST
def delete(request: HttpRequest, job_id: str) -> HttpResponse:
    try:
        lifecycle.delete(_own(request, job_id))
    except TuningError as error:
        messages.error(request, str(error))
        return redirect("own_model", job_id)
    messages.success(request, _("The model and its results were deleted. The bill stays."))
    return redirect("own_models")


@require_POST
def share(request: HttpRequest, job_id: str) -> HttpResponse:
    job = _own(request, job_id)
    form = ShareForm(person(request), request.POST)
    if form.is_valid():
        group = form.cleaned_data["group"]
        fine_tuned_models.share(job, group)
        said = (
            _("Members of %(group)s can use it now.") % {"group": group} if group else _("Only you can use it now.")
        )
        messages.success(request, said)
    else:
        messages.error(request, _("You can share only with groups that you belong to."))
    return redirect("own_model", job_id)


@require_POST
def talk(request: HttpRequest, job_id: str) -> HttpResponse:
    """Starts a conversation with the model."""
    who = person(request)
    job = _usable(who, job_id)
    if job.policy is None or job.policy.retired_at is not None:
        messages.error(request, _("This model does not exist."))
        return redirect("own_models")
    made = Conversation.objects.create(
        owner=who, policy=job.policy, may_train=default_consent(), uses_instructions=instructions.stored(who).is_on
    )
    return redirect("conversation", made.pk)


@require_GET
def download(request: HttpRequest, job_id: str) -> HttpResponse | StreamingHttpResponse:
    """A zip of the model's folder, which `from_pretrained` reads, streamed while it is made."""
    job = _usable(person(request), job_id)
    if job.policy is None or job.policy.retired_at is not None:
        messages.error(request, _("This model does not exist."))
        return redirect("own_models")
    name = f"{job.policy.name}.zip"
    response = StreamingHttpResponse(
        model_zip.stream_zip(policies.fetched(job.policy), job.policy.name), content_type="application/zip"
    )
    response["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    return response


def _own(request: HttpRequest, job_id: str) -> FineTune:
    """404 for another person's job as for an unknown one."""
    return get_object_or_404(FineTune.objects.select_related("run", "policy"), pk=job_id, owner=person(request))


def _visible(request: HttpRequest, job_id: str) -> FineTune:
    """The person's own job; admins see everybody's, but not the content of their lines."""
    who = person(request)
    rows = FineTune.objects.select_related("run", "policy__base", "base_policy", "result_file", "group", "owner")
    return get_object_or_404(rows if who.has_role(Role.ADMIN) else rows.filter(owner=who), pk=job_id)


def _usable(who: User, job_id: str) -> FineTune:
    """The person's own job, or one shared with a group of theirs."""
    rows = FineTune.objects.select_related("policy")
    return get_object_or_404(rows.filter(Q(owner=who) | Q(group__in=who.groups.all())).distinct(), pk=job_id)
