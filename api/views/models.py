"""Endpoints of `/v1/models`, and of `/v1/engines` for clients of 2023."""

from django.http import HttpRequest, JsonResponse
from django.utils.translation import gettext_noop as _

from api import model_names
from api.description.operations import operation
from api.endpoints import person_of
from api.errors import ApiError
from api.schemas.base import DeletedObject
from api.schemas.models import EngineList, EngineObject, ModelList, ModelObject
from fine_tuning.fine_tuned_models import CannotRetire, retire

TAG = "Models"
NAMES = {"model": _("As in the list; a colon may be percent-encoded.")}
NAME_EXAMPLES = {"model": "live"}
EXAMPLE = {"id": "live", "object": "model", "created": 1795502255, "owned_by": "chamsae"}
ENGINE = {"id": "live", "object": "engine", "owner": "chamsae", "ready": True}


@operation(
    _("List models"),
    tag=TAG,
    description=_("Every name that your key can use: aliases, policies, your fine-tunes and those of your groups."),
    answer=ModelList,
    example={"object": "list", "data": [EXAMPLE]},
)
def listing(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"object": "list", "data": model_names.list_models(person_of(request))})


@operation(
    _("Retrieve a model"),
    tag=TAG,
    answer=ModelObject,
    example=EXAMPLE,
    names=NAMES,
    name_examples=NAME_EXAMPLES,
    fails=(404, 503),
)
def retrieve(request: HttpRequest, model: str) -> JsonResponse:
    return JsonResponse(model_names.describe(person_of(request), model))


@operation(
    _("Delete one of your fine-tunes"),
    tag=TAG,
    description=_("It stops answering at once. What it wrote stays, and so does the bill."),
    answer=DeletedObject,
    example={"id": "ft:live:personal::9kXw2LQs", "object": "model", "deleted": True},
    names=NAMES,
    name_examples={"model": "no-such-model"},
    fails=(404,),
)
def delete(request: HttpRequest, model: str) -> JsonResponse:
    person = person_of(request)
    try:
        retire(model_names.own_fine_tune(person, model), actor=person)
    except CannotRetire as error:
        raise ApiError(str(error), error.status, param=error.param, code=error.code) from error
    return JsonResponse({"id": model, "object": "model", "deleted": True})


@operation(
    _("List engines"),
    tag=TAG,
    answer=EngineList,
    example={"object": "list", "data": [ENGINE]},
    is_legacy=True,
)
def engines(request: HttpRequest) -> JsonResponse:
    shown = [_as_engine(model) for model in model_names.list_models(person_of(request))]
    return JsonResponse({"object": "list", "data": shown})


@operation(
    _("Retrieve an engine"),
    tag=TAG,
    answer=EngineObject,
    example=ENGINE,
    names=NAMES,
    name_examples=NAME_EXAMPLES,
    fails=(404, 503),
    is_legacy=True,
)
def engine(request: HttpRequest, model: str) -> JsonResponse:
    return JsonResponse(_as_engine(model_names.describe(person_of(request), model)))


def _as_engine(model: dict[str, object]) -> dict[str, object]:
    """Models were called engines in 2023. Each is loaded on demand, so each is ready."""
    return {"id": model["id"], "object": "engine", "owner": model["owned_by"], "ready": True}
