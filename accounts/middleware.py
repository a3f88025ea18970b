"""What happens to each request before its view: the language is chosen, and the permission table is asked."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from csp.constants import HEADER
from csp.middleware import CSPMiddleware
from csp.utils import build_policy
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.core.signals import got_request_exception
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.http.multipartparser import MultiPartParserError
from django.utils import translation
from django.utils.cache import patch_vary_headers
from django.utils.log import log_response
from django.views.defaults import page_not_found, server_error

from accounts.errors import bad_request
from accounts.permissions import roles_for
from accounts.roles import Role

LANGUAGE_COOKIE = "language"


class ContentPolicyMiddleware(CSPMiddleware):  # type: ignore[misc]
    """The header of the content security policy on every answer; django-csp alone leaves it off a demo's (DEBUG) 404
    and 500."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        response = super().process_response(request, response)
        if HEADER not in response:
            response[HEADER] = build_policy(**asdict(self.get_policy_parts(request, response)))
        return response


class EitherWay:
    """A middleware around sync views and async ones: whoever waits for an answer keeps no thread waiting."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        """The answer, or what is to be awaited for it."""
        return self.later(request) if iscoroutinefunction(self) else self.now(request)

    def now(self, request: HttpRequest) -> HttpResponseBase:
        raise NotImplementedError

    async def later(self, request: HttpRequest) -> HttpResponseBase:
        raise NotImplementedError


class LanguageMiddleware(EitherWay):
    """The language that the person chose (cookie), else what the browser asks for."""

    def now(self, request: HttpRequest) -> HttpResponseBase:
        with self._speaking(request):
            response: HttpResponseBase = self.get_response(request)
        return self._told(request, response)

    async def later(self, request: HttpRequest) -> HttpResponseBase:
        with self._speaking(request):
            response: HttpResponseBase = await self.get_response(request)
        return self._told(request, response)

    @contextmanager
    def _speaking(self, request: HttpRequest) -> Iterator[None]:
        chosen = request.COOKIES.get(LANGUAGE_COOKIE, "")
        if not translation.check_for_language(chosen) or chosen not in ("en", "ko"):
            chosen = translation.get_language_from_request(request)
        with translation.override(chosen):
            request.LANGUAGE_CODE = chosen
            yield

    def _told(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        response.setdefault("Content-Language", request.LANGUAGE_CODE)
        patch_vary_headers(response, ("Accept-Language", "Cookie"))
        return response


class PermissionMiddleware(EitherWay):
    """Refuses a route to whoever the table does not name: 302 to sign-in for the anonymous, 403 for the rest."""

    def now(self, request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = self.get_response(request)
        return not_found(request) if self._is_lost(request, response) else response

    async def later(self, request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = await self.get_response(request)
        return await sync_to_async(not_found)(request) if self._is_lost(request, response) else response

    def _is_lost(self, request: HttpRequest, response: HttpResponseBase) -> bool:
        return settings.DEBUG and response.status_code == 404 and request.resolver_match is None

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]
    ) -> HttpResponse | None:
        match = request.resolver_match
        allowed = roles_for(match.view_name if match else "")
        held = request.user.roles() if request.user.is_authenticated else frozenset({Role.ANONYMOUS})
        if held & allowed:
            return None
        if not request.user.is_authenticated and allowed:
            return redirect_to_login(request.get_full_path())
        raise PermissionDenied

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """A demo (DEBUG) shows people the pages that a real site shows, not its addresses and its inside."""
        if not settings.DEBUG or isinstance(exception, PermissionDenied):
            return None
        if isinstance(exception, Http404):
            return page_not_found(request, exception)
        if isinstance(exception, BadRequest | SuspiciousOperation | MultiPartParserError):
            return bad_request(request, exception)
        got_request_exception.send(sender=type(self), request=request)
        response = server_error(request)
        said = ("%s: %s", response.reason_phrase, request.path)
        log_response(*said, response=response, request=request, exception=exception)
        return response


def not_found(request: HttpRequest) -> HttpResponse:
    return page_not_found(request, Http404())
