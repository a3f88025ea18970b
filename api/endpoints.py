"""What every endpoint shares: dispatch by method, the JSON body and its schema, errors as answers, pages of lists."""

import inspect
import json
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeVar

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponseBase, JsonResponse, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt
from pydantic import BaseModel, ValidationError

from accounts.models import ApiKey, User
from api.errors import ApiError, answer, bad, from_chat
from chat.errors import ChatError

M = TypeVar("M", bound=BaseModel)
View = Callable[..., Any]
DEFAULT_LIMIT, MAX_LIMIT = 20, 100
LONGEST_NUMBER = 12
"""Digits."""


def endpoint(*, scope: str, **views: View) -> View:
    """One address with a view for each method: `endpoint(scope="files", GET=listing, POST=upload)`.
    How each describes itself for the OpenAPI document: api.description.operations.

    api.middleware has checked the key and that it has `scope`. Views may be sync or async, but all of one address
    alike, and raise ApiError or ChatError.
    """
    is_async = any(inspect.iscoroutinefunction(view) for view in views.values())

    def view_for(request: HttpRequest) -> View:
        view = views.get(request.method or "")
        if view is None:
            allowed = ", ".join(sorted(views))
            message = f"{request.method} is not allowed here; allowed: {allowed}"
            raise ApiError(message, 405, code="method_not_allowed", headers={"Allow": allowed})
        return view

    if is_async:

        async def handle(request: HttpRequest, **names: str) -> HttpResponseBase:
            try:
                response: HttpResponseBase = await view_for(request)(request, **names)
            except (ApiError, ChatError) as error:
                return error_answer(error)
            return response
    else:

        def handle(request: HttpRequest, **names: str) -> HttpResponseBase:  # type: ignore[misc]
            try:
                response: HttpResponseBase = view_for(request)(request, **names)
            except (ApiError, ChatError) as error:
                return error_answer(error)
            return response

    wrapped = csrf_exempt(wraps(next(iter(views.values())))(handle))
    wrapped.scope = scope  # type: ignore[attr-defined]
    wrapped.methods = views  # type: ignore[attr-defined]
    return wrapped


def error_answer(error: ApiError | ChatError) -> JsonResponse:
    return answer(from_chat(error) if isinstance(error, ChatError) else error)


def key_of(request: HttpRequest) -> ApiKey:
    key: ApiKey = request.api_key  # type: ignore[attr-defined]  # set by api.middleware
    return key


def person_of(request: HttpRequest) -> User:
    return key_of(request).owner


def read(request: HttpRequest, model: type[M]) -> M:
    """The body as the model; nulls count as left out. Raises an ApiError that names the field."""
    return _validate(_json_body(request), model)


def _json_body(request: HttpRequest) -> dict[str, Any]:
    """A JSON object; an empty body counts as an empty object. Raises ApiError."""
    try:
        raw = request.body
    except RequestDataTooBig as error:
        raise ApiError(f"The body is larger than {settings.DATA_UPLOAD_MAX_MEMORY_SIZE} bytes.", 413) from error
    except UnreadablePostError as error:
        raise bad("The body did not arrive whole.") from error
    if not raw.strip():
        return {}
    try:
        found = json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise bad(f"The body is not valid JSON: {str(error)[:200]}") from error
    if not isinstance(found, dict):
        raise bad("The body has to be a JSON object.")
    return found


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _validate(values: dict[str, Any], model: type[M]) -> M:
    given = {name: value for name, value in values.items() if value is not None}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = _most_specific(error.errors(include_url=False))
        where = first.get("ctx", {}).get("param") or _path_of(first, given)
        raise bad(f"{where}: {first['msg']}" if where else str(first["msg"]), where or None) from error


def _most_specific(errors: list[Any]) -> Any:
    """The error of the first wrong field; in a union, that of the member which the value came closest to."""
    of_the_first = [error for error in errors if error["loc"][:1] == errors[0]["loc"][:1]]
    return max(of_the_first, key=lambda error: len(error["loc"]))


def _path_of(error: Any, values: Any) -> str:
    """The path of an error, as in `messages.0.role`, without pydantic's names of union members."""
    found: list[str] = []
    path, is_missing = error["loc"], error["type"] == "missing"
    for depth, part in enumerate(path):
        is_there = part in values if isinstance(values, dict) else isinstance(values, list) and isinstance(part, int)
        if is_there:
            values = values[part]
        elif not (is_missing and depth == len(path) - 1):
            continue
        found.append(str(part))
    return ".".join(found)


def page_of(request: HttpRequest, rows: Sequence[Any], show: Callable[[Any], dict[str, Any]]) -> JsonResponse:
    """A page of a list by the cursor `after`, the id of the last item that the client has, and `limit`.

    `rows` in the order of the list; `show(row)["id"]` is the cursor. Raises ApiError on a cursor that is not in it.
    """
    limit, after = limit_of(request), request.GET.get("after")
    shown = [show(row) for row in rows]
    if after:
        places = [place for place, item in enumerate(shown) if item["id"] == after]
        if not places:
            raise bad(f"No such item: {after[:100]}", "after")
        shown = shown[places[0] + 1 :]
    return list_answer(shown[:limit], has_more=len(shown) > limit)


def list_answer(data: list[dict[str, Any]], *, has_more: bool) -> JsonResponse:
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return JsonResponse({"object": "list", "data": data, "has_more": has_more, **ends})


def limit_of(request: HttpRequest, default: int = DEFAULT_LIMIT, most: int = MAX_LIMIT) -> int:
    given = request.GET.get("limit")
    if given in (None, ""):
        return default
    limit = number_in(str(given), 1, most)
    if limit is None:
        raise bad(f"limit: expected a number from 1 to {most}", "limit")
    return limit


def number_in(text: str, low: int, high: int) -> int | None:
    """None for anything but a number from `low` to `high`."""
    number = int(text) if text.isdecimal() and len(text) <= LONGEST_NUMBER else None
    return number if number is not None and low <= number <= high else None
