"""Who asks on the API: the key in the header, its limits and its reach, and JSON for whatever goes wrong there.

A session's cookie opens nothing here, so no other site can ask in a person's name.
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
from accounts.middleware import EitherWay
from accounts.models import ApiKey
from accounts.permissions import roles_for
from accounts.roles import Role
from api.endpoints import refused
from api.errors import ApiError, answer, forbidden, too_many_requests, unauthorised, unknown
from chat.errors import ChatError

PATH = "/v1/"
OPEN = "open"
"""The scope of what needs no key, as the answer to an address that is not there."""

log = logging.getLogger(__name__)


class ApiMiddleware(EitherWay):
    def now(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(PATH):
            return cast(HttpResponseBase, self.get_response(request))
        with translation.override("en"):
            response: HttpResponseBase = self.get_response(_begun(request))
        return _marked(request, response)

    async def later(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(PATH):
            return cast(HttpResponseBase, await self.get_response(request))
        with translation.override("en"):
            response: HttpResponseBase = await self.get_response(_begun(request))
        return _marked(request, response)

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
            keys.note_use(key)  # whether it opens anything or not: its owner wonders who tries it
            keys.check_rate(key)
            _check_reach(request, key, scope)
        except keys.KeyRateLimited as error:
            return answer(too_many_requests(error))
        except ApiError as error:
            return answer(error)
        except DatabaseError as error:  # Django tells it no middleware
            return self.process_exception(request, error)
        request.user = key.owner
        request.api_key = key  # type: ignore[attr-defined]
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not request.path_info.startswith(PATH):
            return None
        if isinstance(exception, ApiError | ChatError):
            return refused(exception)
        if isinstance(exception, Http404):
            return answer(unknown("address", request.path_info))
        log.exception("%s %s", request.method, request.path_info, exc_info=exception)
        message = f"The server failed on this request. Its id is {request.request_id}."  # type: ignore[attr-defined]
        return answer(ApiError(message, 500, "server_error"))


def _begun(request: HttpRequest) -> HttpRequest:
    """Nobody's yet, whatever session its cookie names."""
    request.user = AnonymousUser()
    request.request_id = f"req_{uuid.uuid4().hex}"  # type: ignore[attr-defined]
    return request


def _marked(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
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


def _check_reach(request: HttpRequest, key: ApiKey, scope: str) -> None:
    """Raises ApiError (403) where the key's scopes or its owner's roles do not reach the address."""
    match = request.resolver_match
    allowed = roles_for(match.view_name if match else "") - {Role.ANONYMOUS}
    if not key.owner.roles() & allowed or not keys.may(key, scope):
        raise forbidden(f"This key does not have permission: it needs the scope `{scope}`.")
