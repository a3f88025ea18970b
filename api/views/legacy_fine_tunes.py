"""Endpoints of `/v1/fine-tunes`, for OpenAI's command line and clients of 2023: the same jobs."""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.utils.translation import gettext_noop as _

from api.completions import sse
from api.description.operations import Query, operation
from api.endpoints import read
from api.errors import bad
from api.job_orders import job_for, order_of
from api.schemas.base import DeletedObject
from api.schemas.fine_tuning import LegacyEvents, LegacyJob, LegacyList, LegacyRequest
from api.views import files
from api.views.fine_tuning_jobs import ORGANISATION, TAG, fresh, jobs_of, own
from fine_tuning.jobs import lifecycle
from fine_tuning.models import Event, FineTune

State = FineTune.State
STATUS = {State.VALIDATING: "pending", State.QUEUED: "pending", State.PAUSED: "pending"}
POLL_S = 0.5
SILENT_S = 240.0
"""Clients give up a stream that is silent for ten minutes."""
NAMES = {"job_id": _("As returned when it was created.")}
NAME_EXAMPLES = {"job_id": "ft-8Jd0aXb2Lq5Tz9Kw3Vn7Rc1M"}
EVENT = {"object": "fine-tune-event", "created_at": 1795502255, "level": "info", "message": "Fine-tune started"}
EXAMPLE: dict[str, Any] = {
    "id": "ft-8Jd0aXb2Lq5Tz9Kw3Vn7Rc1M",
    "object": "fine-tune",
    "model": "davinci",
    "created_at": 1795502255,
    "updated_at": 1795502255,
    "status": "pending",
    "fine_tuned_model": None,
    "organization_id": ORGANISATION,
    "hyperparams": {"n_epochs": 4, "batch_size": 1, "prompt_loss_weight": 0.01, "learning_rate_multiplier": 0.1},
    "training_files": [],
    "validation_files": [],
    "result_files": [],
    "events": [EVENT],
}


@operation(
    _("Create a model from a file"),
    tag=TAG,
    request=LegacyRequest,
    request_example={"training_file": "file-8Jd0aXb2Lq5Tz9Kw3Vn7Rc1M", "model": "davinci"},
    answer=LegacyJob,
    example=EXAMPLE,
    fails=(404, 503),
    is_legacy=True,
)
def create(request: HttpRequest) -> JsonResponse:
    asked = read(request, LegacyRequest)
    with files.as_api_errors():
        order = order_of(
            request,
            model=asked.model,
            training_file=asked.training_file,
            validation_file=asked.validation_file,
            suffix=asked.suffix,
            hyperparameters=asked.hyperparameters_given(),
            is_legacy=True,
        )
        return JsonResponse(_shown(job_for(request, order), with_events=True))


@operation(_("List jobs"), tag=TAG, answer=LegacyList, example={"object": "list", "data": [EXAMPLE]}, is_legacy=True)
def listing(request: HttpRequest) -> JsonResponse:
    """Oldest first, as in 2023."""
    return JsonResponse({"object": "list", "data": [_shown(job) for job in reversed(jobs_of(request))]})


@operation(
    _("Retrieve a job"),
    tag=TAG,
    names=NAMES,
    name_examples=NAME_EXAMPLES,
    answer=LegacyJob,
    example=EXAMPLE,
    fails=(404,),
    is_legacy=True,
)
def retrieve(request: HttpRequest, job_id: str) -> JsonResponse:
    return JsonResponse(_shown(own(request, job_id), with_events=True))


@operation(
    _("Cancel a job"),
    tag=TAG,
    names=NAMES,
    name_examples=NAME_EXAMPLES,
    answer=LegacyJob,
    example=EXAMPLE,
    fails=(400, 404),
    is_legacy=True,
)
def cancel(request: HttpRequest, job_id: str) -> JsonResponse:
    with files.as_api_errors():
        return JsonResponse(_shown(fresh(lifecycle.cancel(own(request, job_id))), with_events=True))


@operation(
    _("Delete a finished job and its model"),
    tag=TAG,
    names=NAMES,
    name_examples=NAME_EXAMPLES,
    answer=DeletedObject,
    fails=(400, 403, 404),
    is_legacy=True,
)
def delete(request: HttpRequest, job_id: str) -> JsonResponse:
    with files.as_api_errors():
        lifecycle.delete(own(request, job_id))
    return JsonResponse({"id": job_id, "object": "fine-tune", "deleted": True})


@operation(
    _("List a job's events, oldest first"),
    tag=TAG,
    description=_("With `stream=true`, as server-sent events, which end with `[DONE]` when the job has ended."),
    names=NAMES,
    name_examples=NAME_EXAMPLES,
    query=(Query("stream", _("Whether to stream events until the job ends."), {"type": "boolean"}),),
    answer=LegacyEvents,
    example={"object": "list", "data": [EVENT]},
    produces=("application/json", "text/event-stream"),
    fails=(404,),
    is_legacy=True,
)
async def events(request: HttpRequest, job_id: str) -> HttpResponseBase:
    job = await sync_to_async(own)(request, job_id)
    stream = request.GET.get("stream", "false").lower()
    if stream not in ("true", "false", "1", "0", ""):
        raise bad("stream: expected true or false", "stream")
    if stream in ("true", "1"):
        return await sse.stream(_followed(job))
    return JsonResponse({"object": "list", "data": [_event_shown(row) for row in await _messages_since(job, 0)]})


async def _followed(job: FineTune) -> AsyncGenerator[dict[str, Any], None]:
    """Every event from the first on; ends when the job is over and all events were sent."""
    seen, sent_at = 0, time.monotonic()
    while True:
        # In this order: the last events of a job are written together with its final state.
        is_over = await _is_over_now(job)
        for row in await _messages_since(job, seen):
            yield _event_shown(row)
            seen, sent_at = row.seq, time.monotonic()
        if is_over:
            return
        if time.monotonic() - sent_at > SILENT_S:
            yield await _still_training(job)
            sent_at = time.monotonic()
        await asyncio.sleep(POLL_S)


@sync_to_async
def _is_over_now(job: FineTune) -> bool:
    """A deleted job is over, too."""
    state = FineTune.objects.filter(pk=job.pk).values_list("state", flat=True).first()
    return state is None or state in FineTune.OVER


@sync_to_async
def _messages_since(job: FineTune, seq: int) -> list[Event]:
    """Only messages: the client of 2023 prints every event."""
    return list(Event.objects.filter(fine_tune=job.pk, seq__gt=seq, kind="message").order_by("seq"))


@sync_to_async
def _still_training(job: FineTune) -> dict[str, Any]:
    run = fresh(job).run
    progress = run.progress if run is not None else {}
    step, steps = progress.get("step"), progress.get("steps")
    message = (
        f"Still training: step {step}/{steps}" if steps else f"Still waiting. Queue number: {lifecycle.ahead_of(job)}"
    )
    return {"object": "fine-tune-event", "created_at": int(time.time()), "level": "info", "message": message}


# --- jobs as JSON -------------------------------------------------------------------------------------------------


def _shown(job: FineTune, *, with_events: bool = False) -> dict[str, Any]:
    succeeded = job.state == State.SUCCEEDED
    fields = {
        "id": job.legacy_id,
        "object": "fine-tune",
        "model": job.model,
        "created_at": int(job.created_at.timestamp()),
        "updated_at": int(job.updated_at.timestamp()),
        "status": STATUS.get(State(job.state), job.state),
        "fine_tuned_model": job.fine_tuned_model if succeeded else None,
        "organization_id": ORGANISATION,
        "hyperparams": _hyperparams_shown(job),
        "training_files": [_file_shown(job.training_file)],
        "validation_files": [_file_shown(job.validation_file)] if job.validation_file else [],
        "result_files": [files.shown(job.result_file)] if succeeded and job.result_file else [],
    }
    if with_events:
        rows = job.events.filter(kind="message").order_by("seq")
        fields["events"] = [_event_shown(row) for row in rows]
    return fields


def _hyperparams_shown(job: FineTune) -> dict[str, Any]:
    names = ("n_epochs", "batch_size", "learning_rate_multiplier")
    found = {name: job.chosen.get(name, job.hyperparameters.get(name)) for name in names}
    return found | {"prompt_loss_weight": job.hyperparameters.get("prompt_loss_weight", 0.0)}


def _file_shown(file: dict[str, Any]) -> dict[str, Any]:
    names = ("id", "bytes", "created_at", "filename", "purpose")
    return {**{name: file[name] for name in names}, "object": "file", "status": "processed", "status_details": None}


def _event_shown(event: Event) -> dict[str, Any]:
    return {
        "object": "fine-tune-event",
        "created_at": int(event.created_at.timestamp()),
        "level": event.level,
        "message": event.message,
    }
