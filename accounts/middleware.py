"""Middleware: the language of a request, who acts in it, and what the permission table refuses."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils import translation
from django.utils.cache import patch_vary_headers
from django.utils.deprecation import MiddlewareMixin

from accounts.acting import answering
from accounts.permissions import roles_for
from accounts.roles import Role

LANGUAGE_COOKIE = "language"


class SyncAndAsyncMiddleware:
    """Base of middleware that works for sync and for async views, so that an async view blocks no thread."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        """The response, or for an async view the coroutine that gives it."""
        return self.respond_async(request) if iscoroutinefunction(self) else self.respond(request)

    def respond(self, request: HttpRequest) -> HttpResponseBase:
        raise NotImplementedError

    async def respond_async(self, request: HttpRequest) -> HttpResponseBase:
        raise NotImplementedError


class LanguageMiddleware(SyncAndAsyncMiddleware):
    """The language that the person chose (cookie), else what the browser asks for."""

    def respond(self, request: HttpRequest) -> HttpResponseBase:
        with self._language_of(request):
            response: HttpResponseBase = self.get_response(request)
        return self._with_headers(request, response)

    async def respond_async(self, request: HttpRequest) -> HttpResponseBase:
        with self._language_of(request):
            response: HttpResponseBase = await self.get_response(request)
        return self._with_headers(request, response)

    @contextmanager
    def _language_of(self, request: HttpRequest) -> Iterator[None]:
        chosen = request.COOKIES.get(LANGUAGE_COOKIE, "")
        if not translation.check_for_language(chosen) or chosen not in ("en", "ko"):
            chosen = translation.get_language_from_request(request)
        with translation.override(chosen):
            request.LANGUAGE_CODE = chosen
            yield

    def _with_headers(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        response.setdefault("Content-Language", request.LANGUAGE_CODE)
        patch_vary_headers(response, ("Accept-Language", "Cookie"))
        return response


class ActingMiddleware(SyncAndAsyncMiddleware):
    """Lets code that no request reaches know who acts (accounts.acting)."""

    def respond(self, request: HttpRequest) -> HttpResponseBase:
        with answering(request):
            response: HttpResponseBase = self.get_response(request)
        return response

    async def respond_async(self, request: HttpRequest) -> HttpResponseBase:
        with answering(request):
            response: HttpResponseBase = await self.get_response(request)
        return response


class PermissionMiddleware(MiddlewareMixin):
    """Refuses a route to roles that the table does not name: 302 to sign-in for the anonymous, 403 for the rest."""

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]
    ) -> HttpResponse | None:
        match = request.resolver_match
        allowed = roles_for(match.view_name if match else "")
        roles = request.user.roles() if request.user.is_authenticated else frozenset({Role.ANONYMOUS})
        if roles & allowed:
            return None
        if not request.user.is_authenticated and allowed:
            return redirect_to_login(request.get_full_path())
        raise PermissionDenied
