"""Endpoints of `/v1/completions` and `/v1/engines/{model}/completions`."""

from channels.db import database_sync_to_async
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.utils.translation import gettext_noop as _

from api import model_names
from api.completions import plain, sse
from api.completions.prompts import Requester
from api.description.operations import operation
from api.endpoints import key_of, person_of, read
from api.schemas.completions import CompletionRequest, EngineRequest, TextCompletion

EXAMPLE = {"model": "live", "prompt": "Once upon a time", "max_tokens": 16}
DESCRIPTION = _(
    "Continues a text as it is, without a chat template. A request that does not fit the "
    "model's context is refused, not truncated. Prompts and completions pass this site's "
    "guards; a completion that a guard stops ends with `content_filter`."
)


@operation(
    _("Complete a text"),
    tag=_("Completions"),
    description=DESCRIPTION,
    request=CompletionRequest,
    request_example=EXAMPLE,
    answer=TextCompletion,
    fails=(404, 503),
    produces=("application/json", "text/event-stream"),
)
async def completions(request: HttpRequest) -> HttpResponseBase:
    asked = read(request, CompletionRequest)
    return await _answered(request, asked, asked.model)


@operation(
    _("Complete a text with an engine"),
    tag=_("Completions"),
    description=_("Like `/completions`, with the model in the address."),
    request=EngineRequest,
    request_example={"prompt": "Once upon a time", "max_tokens": 16},
    answer=TextCompletion,
    names={"model": _("A model of `GET /v1/engines`.")},
    name_examples={"model": "live"},
    fails=(404, 503),
    produces=("application/json", "text/event-stream"),
    is_legacy=True,
)
async def engine_completions(request: HttpRequest, model: str) -> HttpResponseBase:
    return await _answered(request, read(request, EngineRequest), model)


async def _answered(request: HttpRequest, asked: CompletionRequest, model: str) -> HttpResponseBase:
    named = await database_sync_to_async(model_names.resolve)(person_of(request), model)
    requester = Requester(person_of(request), key_of(request), named)
    if asked.stream:
        return await sse.stream(plain.chunks(asked, requester))
    return JsonResponse(await plain.complete(asked, requester))
