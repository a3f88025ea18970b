"""Middleware that answers a page with 503 where the state that hosts share does not let it have its files."""

import logging

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.deprecation import MiddlewareMixin

from base.state_errors import StateError
from chat.errors import PolicyAway

RETRY_AFTER_S = 30
log = logging.getLogger(__name__)


class StateMiddleware(MiddlewareMixin):
    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The reason is for the log: it may name addresses of services."""
        if not isinstance(exception, StateError | PolicyAway):
            return None
        log.warning("%s %s: %s", request.method, request.path_info, exception)
        response = render(request, "503.html", status=503)
        response["Retry-After"] = RETRY_AFTER_S
        return response
