"""What happens to each request before its view: the language is chosen, and the permission table is asked."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.utils import translation
from django.utils.cache import patch_vary_headers
from django.views.defaults import page_not_found

from accounts.permissions import roles_for
from accounts.roles import Role

LANGUAGE_COOKIE = "language"


class LanguageMiddleware:
    """The language that the person chose (cookie), else what the browser asks for."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        chosen = request.COOKIES.get(LANGUAGE_COOKIE, "")
        if not translation.check_for_language(chosen) or chosen not in ("en", "ko"):
            chosen = translation.get_language_from_request(request)
        with translation.override(chosen):
            request.LANGUAGE_CODE = chosen
            response = self.get_response(request)
        response.setdefault("Content-Language", chosen)
        patch_vary_headers(response, ("Accept-Language", "Cookie"))
        return response


class PermissionMiddleware:
    """Refuses a route to whoever the table does not name: 302 to sign-in for the anonymous, 403 for the rest."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

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
        """A demo (DEBUG) shows people the page that a real site shows, not a list of its addresses."""
        return page_not_found(request, exception) if settings.DEBUG and isinstance(exception, Http404) else None
