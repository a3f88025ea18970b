"""Endpoints of `/v1/fine_tuning/jobs`, for OpenAI's clients of today."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.utils.translation import gettext_noop as _

from api.description.operations import PAGE, Query, operation
from api.endpoints import list_answer, page_of, person_of, read
from api.errors import unknown
from api.job_orders import job_for, order_of
from api.schemas.fine_tuning import GRADER, CheckpointList, EventList, Job, JobCheckpoint, JobList, JobRequest
from api.views.files import as_api_errors
from fine_tuning import model_names
from fine_tuning.jobs import lifecycle
from fine_tuning.models import Event, FineTune

TAG = _("Fine-tuning")
ORGANISATION = f"org-{model_names.ORGANISATION}"
NAMES = {"job_id": _("As returned when it was created.")}
NAME_EXAMPLES = {"job_id": "ftjob-8Jd0aXb2Lq5Tz9Kw3Vn7Rc1M"}
STATUS = {FineTune.State.PAUSED: FineTune.State.QUEUED}
"""OpenAI has no paused state: such a job is shown as queued, and `is_paused` tells the difference."""
EXAMPLE: dict[str, Any] = {
    "id": "ftjob-8Jd0aXb2Lq5Tz9Kw3Vn7Rc1M",
    "object": "fine_tuning.job",
    "created_at": 1795502255,
    "error": None,
    "fine_tuned_model": None,
    "finished_at": None,
    "hyperparameters": {"n_epochs": 12, "batch_size": 4, "learning_rate_multiplier": 1.0},
    "model": "davinci",
    "organization_id": ORGANISATION,
    "result_files": [],
    "seed": 11,
    "status": "queued",
    "is_paused": False,
    "trained_tokens": None,
    "training_file": "file-8Jd0aXb2Lq5Tz9Kw3Vn7Rc1M",
    "validation_file": None,
    "estimated_finish": None,
    "integrations": [],
    "metadata": None,
    "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 12}}},
    "scope": "lora",
}
EVENT = {
    "id": "ftevent-8Jd0aXb2Lq5Tz9Kw3Vn7Rc1M",
    "object": "fine_tuning.job.event",
    "created_at": 1795502255,
    "level": "info",
    "message": "Fine-tune started",
    "data": None,
    "type": "message",
}


@operation(
    _("Create a model from a file"),
    tag=TAG,
    request=JobRequest,
    request_example={"model": "davinci", "training_file": "file-8Jd0aXb2Lq5Tz9Kw3Vn7Rc1M", "suffix": "island"},
    answer=Job,
    example=EXAMPLE,
    fails=(404, 503),
)
def create(request: HttpRequest) -> JsonResponse:
    asked = read(request, JobRequest)
    with as_api_errors():
        order = order_of(
            request,
            model=asked.model,
            training_file=asked.training_file,
            validation_file=asked.validation_file,
            suffix=asked.suffix,
            hyperparameters=asked.hyperparameters_given(),
            seed=asked.seed,
            metadata=asked.metadata,
            method=asked.method_name(),
            scope=asked.scope or FineTune.Scope.LORA.value,
        )
        return JsonResponse(_shown(job_for(request, order)))


@operation(
    _("List jobs"),
    tag=TAG,
    query=(*PAGE, Query("metadata[KEY]", _("Only jobs whose metadata has this value for KEY."))),
    answer=JobList,
    example={"object": "list", "data": [EXAMPLE], "has_more": False, "first_id": None, "last_id": None},
)
def listing(request: HttpRequest) -> JsonResponse:
    wanted = {name[9:-1]: str(value) for name, value in request.GET.items() if name.startswith("metadata[")}
    rows = [job for job in jobs_of(request) if _has_metadata(job, wanted)]
    if request.GET.get("metadata") == "null":
        rows = [job for job in rows if job.metadata is None]
    return page_of(request, rows, _shown)


@operation(
    _("Retrieve a job"), tag=TAG, names=NAMES, name_examples=NAME_EXAMPLES, answer=Job, example=EXAMPLE, fails=(404,)
)
def retrieve(request: HttpRequest, job_id: str) -> JsonResponse:
    return JsonResponse(_shown(own(request, job_id)))


def _verb(summary: str, act: Callable[[FineTune], FineTune]) -> Callable[..., JsonResponse]:
    @operation(
        summary, tag=TAG, names=NAMES, name_examples=NAME_EXAMPLES, answer=Job, example=EXAMPLE, fails=(400, 404, 409)
    )
    def view(request: HttpRequest, job_id: str) -> JsonResponse:
        with as_api_errors():
            return JsonResponse(_shown(fresh(act(own(request, job_id)))))

    view.__doc__ = summary
    return view


cancel = _verb(_("Cancel a job"), lifecycle.cancel)
pause = _verb(_("Pause a job and save a checkpoint"), lifecycle.pause)
resume = _verb(_("Resume a paused job from its checkpoint"), lifecycle.resume)


@operation(
    _("List a job's events"),
    tag=TAG,
    description=_("Newest first."),
    names=NAMES,
    name_examples=NAME_EXAMPLES,
    query=PAGE,
    answer=EventList,
    example={"object": "list", "data": [EVENT], "has_more": False, "first_id": None, "last_id": None},
    fails=(404,),
)
def events(request: HttpRequest, job_id: str) -> JsonResponse:
    rows = list(own(request, job_id).events.order_by("-seq"))
    if _is_client_without_cursor(request):
        data = [_event_shown(row) for row in rows]
        return list_answer(data, has_more=False)
    return page_of(request, rows, _event_shown)


@operation(
    _("List the checkpoints of a job that are models"),
    tag=TAG,
    description=_("Only the last one: it is the model."),
    names=NAMES,
    name_examples=NAME_EXAMPLES,
    query=PAGE,
    answer=CheckpointList,
    fails=(404,),
)
def checkpoints(request: HttpRequest, job_id: str) -> JsonResponse:
    job = own(request, job_id)
    models = (job.result.get("checkpoints") or [])[-1:] if job.state == FineTune.State.SUCCEEDED else []
    return page_of(request, models, lambda one: _checkpoint_shown(job, one))


# --- jobs as JSON -------------------------------------------------------------------------------------------------


def jobs_of(request: HttpRequest) -> list[FineTune]:
    """The newest first."""
    rows = FineTune.objects.filter(owner=person_of(request)).select_related("run", "result_file")
    return list(rows.order_by("-created_at", "-id"))


def own(request: HttpRequest, job_id: str) -> FineTune:
    """By the id of either API; 404 for another person's job as for an unknown one."""
    canonical_id = job_id if job_id.startswith("ftjob-") else f"ftjob-{job_id.removeprefix('ft-')}"
    rows = FineTune.objects.filter(owner=person_of(request)).select_related("run", "result_file")
    job = None if "\0" in job_id else rows.filter(pk=canonical_id).first()
    if job is None:
        raise unknown("fine-tune job", job_id.replace("\0", ""), param="fine_tune_id")
    return job


def fresh(job: FineTune) -> FineTune:
    return FineTune.objects.select_related("run", "result_file").get(pk=job.pk)


def _has_metadata(job: FineTune, wanted: dict[str, str]) -> bool:
    return all((job.metadata or {}).get(name) == value for name, value in wanted.items())


def _shown(job: FineTune) -> dict[str, Any]:
    succeeded = job.state == FineTune.State.SUCCEEDED
    return {
        "id": job.id,
        "object": "fine_tuning.job",
        "created_at": int(job.created_at.timestamp()),
        "error": job.error if job.state == FineTune.State.FAILED else None,
        "fine_tuned_model": job.fine_tuned_model if succeeded else None,
        "finished_at": int(job.finished_at.timestamp()) if job.finished_at else None,
        "hyperparameters": _hyperparameters_shown(job),
        "model": job.model,
        "organization_id": ORGANISATION,
        "result_files": [job.result_file.id] if succeeded and job.result_file else [],
        "seed": job.seed,
        "status": STATUS.get(FineTune.State(job.state), job.state),
        "is_paused": job.state == FineTune.State.PAUSED,
        "trained_tokens": job.trained_tokens,
        "training_file": job.training_file["id"],
        "validation_file": job.validation_file["id"] if job.validation_file else None,
        "estimated_finish": _estimated_finish(job),
        "integrations": [],
        "metadata": job.metadata,
        "method": _method_shown(job),
        "scope": job.scope,
    }


def _hyperparameters_shown(job: FineTune) -> dict[str, Any]:
    names_shown = ("n_epochs", "batch_size", "learning_rate_multiplier")
    return {name: job.chosen.get(name, job.hyperparameters.get(name, "auto")) for name in names_shown}


def _method_shown(job: FineTune) -> dict[str, Any]:
    settings: dict[str, Any] = {"hyperparameters": _hyperparameters_shown(job)}
    if job.method == FineTune.Method.DPO:
        settings["hyperparameters"]["beta"] = job.hyperparameters.get("beta", "auto")
    if job.method == FineTune.Method.REINFORCEMENT:
        settings["grader"] = GRADER
    return {"type": job.method, job.method: settings}


def _estimated_finish(job: FineTune) -> int | None:
    left = job.run.progress.get("seconds_left") if job.run is not None else None
    if job.state != FineTune.State.RUNNING or not isinstance(left, int | float):
        return None
    return int(timezone.now().timestamp() + left)


def _event_shown(event: Event) -> dict[str, Any]:
    return {
        "id": event.id_shown,
        "object": "fine_tuning.job.event",
        "created_at": int(event.created_at.timestamp()),
        "level": event.level,
        "message": event.message,
        "data": event.data,
        "type": event.kind,
    }


def _checkpoint_shown(job: FineTune, one: dict[str, Any]) -> dict[str, Any]:
    openai_names = {
        "train_loss": "train_loss",
        "eval_loss": "valid_loss",
        "eval_token_accuracy": "valid_mean_token_accuracy",
    }
    figures = {shown: one.get(name) for name, shown in openai_names.items()} | {"step": one.get("step")}
    checkpoint = JobCheckpoint(
        id=f"ftckpt_{job.id.removeprefix('ftjob-')}",
        object="fine_tuning.job.checkpoint",
        created_at=int((job.finished_at or job.updated_at).timestamp()),
        fine_tuned_model_checkpoint=job.fine_tuned_model,
        fine_tuning_job_id=job.id,
        metrics={name: float(value) for name, value in figures.items() if isinstance(value, int | float)},
        step_number=int(one.get("step") or 0),
    )
    return checkpoint.model_dump()


def _is_client_without_cursor(request: HttpRequest) -> bool:
    """The Python client of 2023 requests every page without a cursor, so it gets all events at once."""
    is_old = "PythonBindings" in request.headers.get("User-Agent", "")
    return is_old and "limit" not in request.GET and "after" not in request.GET
