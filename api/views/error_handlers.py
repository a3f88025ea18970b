"""Handlers of errors outside of views: JSON under `/v1/`, the site's own pages elsewhere."""

from django.http import HttpRequest, HttpResponse
from django.views import defaults

from api.errors import ApiError, answer, bad, unknown
from api.middleware import PATH
from base import error_pages


def _is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith(PATH)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_api(request):
        return answer(bad("The request is malformed, or its host is not one of this site's."))
    return error_pages.bad_request(request, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_api(request):
        return answer(unknown("address", request.path_info))
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    if _is_api(request):
        return answer(ApiError("The server failed on this request.", 500, "server_error"))
    return defaults.server_error(request)
