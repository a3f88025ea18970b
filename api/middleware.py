"""Authenticates API requests by their key, checks its rate limit and scopes, and answers every failure in JSON.

Session cookies are ignored here, so that no other site can act in a person's name.
"""

import logging
import uuid
from collections.abc import Callable
from typing import Any, cast

from django.contrib.auth.models import AnonymousUser
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.utils import translation

from accounts import keys
from accounts.middleware import SyncAndAsyncMiddleware
from accounts.models import ApiKey
from accounts.permissions import roles_for
from accounts.roles import Role
from api.endpoints import error_answer
from api.errors import ApiError, answer, forbidden, state_away, too_many_requests, unauthorised, unknown
from base.state_errors import StateError
from chat.errors import ChatError

PATH = "/v1/"
OPEN = "open"
"""The scope of addresses that need no key, such as unknown ones."""

log = logging.getLogger(__name__)


class ApiMiddleware(SyncAndAsyncMiddleware):
    def respond(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(PATH):
            return cast(HttpResponseBase, self.get_response(request))
        with translation.override("en"):
            response: HttpResponseBase = self.get_response(_anonymous(request))
        return _with_request_id(request, response)

    async def respond_async(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(PATH):
            return cast(HttpResponseBase, await self.get_response(request))
        with translation.override("en"):
            response: HttpResponseBase = await self.get_response(_anonymous(request))
        return _with_request_id(request, response)

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]
    ) -> HttpResponse | None:
        if not request.path_info.startswith(PATH):
            return None
        scope = getattr(view, "scope", "")
        if scope == OPEN:
            return None
        try:
            key = _key_in(request)
            keys.note_use(key)  # also where it is refused: its owner should see who tries it
            keys.check_rate(key)
            _check_access(request, key, scope)
        except keys.KeyRateLimited as error:
            return answer(too_many_requests(error))
        except ApiError as error:
            return answer(error)
        except DatabaseError as error:  # process_exception is not called for this method's own errors
            return self.process_exception(request, error)
        request.user = key.owner
        request.api_key = key  # type: ignore[attr-defined]
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not request.path_info.startswith(PATH):
            return None
        if isinstance(exception, ApiError | ChatError):
            return error_answer(exception)
        if isinstance(exception, StateError):
            log.warning("%s %s: %s", request.method, request.path_info, exception)
            return answer(state_away())
        if isinstance(exception, Http404):
            return answer(unknown("address", request.path_info))
        log.exception("%s %s", request.method, request.path_info, exc_info=exception)
        message = f"The server failed on this request. Its id is {request.request_id}."  # type: ignore[attr-defined]
        return answer(ApiError(message, 500, "server_error"))


def new_request_id() -> str:
    return f"req_{uuid.uuid4().hex}"


def _anonymous(request: HttpRequest) -> HttpRequest:
    """Drops the session's user, and gives the request an id."""
    request.user = AnonymousUser()
    request.request_id = new_request_id()  # type: ignore[attr-defined]
    return request


def _with_request_id(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    response["x-request-id"] = request.request_id  # type: ignore[attr-defined]
    response.setdefault("Content-Language", "en")
    return response


def _key_in(request: HttpRequest) -> ApiKey:
    """Raises ApiError (401)."""
    kind, _, secret = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not secret.strip():
        raise unauthorised("No API key was given. Send it as `Authorization: Bearer KEY`.")
    key = keys.find(secret.strip())
    if key is None:
        raise unauthorised(f"Incorrect API key provided: {secret.strip()[:6]}…. Make one on the page API keys.")
    return key


def _check_access(request: HttpRequest, key: ApiKey, scope: str) -> None:
    """Raises ApiError (403) unless the key's scopes and its owner's roles allow the address."""
    match = request.resolver_match
    allowed = roles_for(match.view_name if match else "") - {Role.ANONYMOUS}
    if not key.owner.roles() & allowed or not keys.may(key, scope):
        raise forbidden(f"This key does not have permission: it needs the scope `{scope}`.")
