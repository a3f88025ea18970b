"""Errors of the API in OpenAI's format, with the status by which their clients choose an exception class."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from django.http import JsonResponse

from accounts.keys import KeyRateLimited
from chat.errors import ChatError, ContextExceeded

NO_QUOTA = "insufficient_quota"


@dataclass
class ApiError(Exception):
    """Raised in a view and turned into an answer by api.endpoints or api.middleware."""

    message: str
    status: int = 400
    type: str = "invalid_request_error"
    param: str | None = None
    code: str | None = None
    retry_after_s: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message


def bad(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    return ApiError(message, 400, param=param, code=code)


def unauthorised(message: str) -> ApiError:
    return ApiError(message, 401, code="invalid_api_key")


def forbidden(message: str) -> ApiError:
    return ApiError(message, 403, code="insufficient_permissions")


def unknown(what: str, name: str, *, param: str | None = None, code: str | None = None) -> ApiError:
    return ApiError(f"No such {what}: {name[:200]}", 404, param=param, code=code)


def no_model(name: str) -> ApiError:
    message = f"The model '{name[:120]}' does not exist or you do not have access to it."
    return ApiError(message, 404, param="model", code="model_not_found")


def too_many_requests(error: KeyRateLimited) -> ApiError:
    message = f"Rate limit reached: {error.limit} requests per minute. Try again in {ceil(error.retry_after_s)} s."
    return ApiError(message, 429, "requests", code="rate_limit_exceeded", retry_after_s=error.retry_after_s)


def state_away() -> ApiError:
    message = "Files of this site cannot be had at the moment. Try again in a minute."
    return ApiError(message, 503, "server_error", code="state_away", retry_after_s=30.0)


STATUSES: Mapping[str, int] = {
    "queue_full": 429,
    "too_many_replies": 429,
    "rate_limited": 429,
    "too_many_looks": 429,
    "budget_spent": 429,
    "policy_retired": 404,
    "no_live_policy": 503,
    "bad_policy": 503,
    "policy_away": 503,
    "policy_unavailable": 503,
    "engines_full": 503,
    "engine_down": 503,
    "engine_timeout": 503,
    "engine_busy": 503,
    "engine_broken": 503,
    "wrong_model": 503,
    "talker_gone": 503,
    "guard_broken": 503,
    "inspector_down": 503,
}
"""Status by the code of a ChatError; 400 for the others, which are errors of the request."""
OPENAI_CODES = {
    "too_long": "context_length_exceeded",
    "preamble_too_long": "context_length_exceeded",
    "blocked": "content_filter",
    "policy_retired": "model_not_found",
    "budget_spent": NO_QUOTA,
    "queue_full": "rate_limit_exceeded",
    "too_many_replies": "rate_limit_exceeded",
    "rate_limited": "rate_limit_exceeded",
    "too_many_looks": "rate_limit_exceeded",
}
"""OpenAI's code for the same error, where there is one."""
PARAMS = {"turns_refused": "messages", "unknown_tokens": "prompt"}
"""The parameter that is wrong, where it can only be one."""


def from_chat(error: ChatError) -> ApiError:
    """The API's error for one of the chat."""
    status = STATUSES.get(error.code, 400)
    code = OPENAI_CODES.get(error.code, error.code)
    param = error.param if isinstance(error, ContextExceeded) else PARAMS.get(error.code)
    return ApiError(
        str(error.message),
        status,
        error_type(status, code),
        param=param,
        code=code,
        retry_after_s=error.retry_after_s,
    )


def error_type(status: int, code: str) -> str:
    """The `type` of an error by its status and code."""
    if code == NO_QUOTA:
        return NO_QUOTA
    return {429: "requests", 503: "server_error"}.get(status, "invalid_request_error")


def body(error: ApiError) -> dict[str, Any]:
    return {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}}


def answer(error: ApiError) -> JsonResponse:
    response = JsonResponse(body(error), status=error.status, headers=dict(error.headers))
    if error.code == NO_QUOTA:  # otherwise OpenAI's clients retry twice at once
        response["x-should-retry"] = "false"
    if error.retry_after_s is not None:
        response["Retry-After"] = str(max(1, ceil(error.retry_after_s)))
    elif error.status in (429, 503):
        response["Retry-After"] = "3600" if error.code == NO_QUOTA else "10"
    return response
