"""Middleware that adds the security headers that Django has no setting for, and keeps private pages out of caches."""

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

NOT_USED = (
    *("accelerometer", "autoplay", "browsing-topics", "camera", "display-capture", "encrypted-media", "geolocation"),
    *("gyroscope", "hid", "magnetometer", "microphone", "midi", "payment", "screen-wake-lock", "serial", "usb"),
)
PERMISSIONS = ", ".join(f"{name}=()" for name in NOT_USED)
PRIVATE = "no-store, private"
SHARED = "/s/"
"""Pages of links that their owner may revoke at any moment."""


class SecurityHeadersMiddleware(MiddlewareMixin):
    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        response.setdefault("Permissions-Policy", PERMISSIONS)
        response.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        if _is_private(request, response):
            response.setdefault("Cache-Control", PRIVATE)
        return response


def _is_private(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Whether it may tell of a person: a session or a key came with the request, or a cookie goes with the answer."""
    bears = settings.SESSION_COOKIE_NAME in request.COOKIES or "Authorization" in request.headers
    return bears or bool(response.cookies) or request.path_info.startswith(SHARED)
