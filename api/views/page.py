"""The page by which people learn the API."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from api import reading
from api.openapi import ROOT


@require_safe
def api_page(request: HttpRequest) -> HttpResponse:
    root = f"{address_of(request)}{ROOT}"
    return render(
        request, "api/page.html", {"root": root, "subjects": reading.subjects(root), "meanings": reading.meanings()}
    )


def address_of(request: HttpRequest) -> str:
    """Of the site, as the browser reached it, if that is one of its own."""
    asked = f"{request.scheme}://{request.get_host()}"
    return asked if asked in settings.ORIGINS or not settings.ORIGINS else str(settings.ORIGINS[0])
