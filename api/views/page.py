"""Page that documents the API for people."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from api.description import page
from api.description.openapi import ROOT


@require_safe
def api_page(request: HttpRequest) -> HttpResponse:
    root = f"{_address_of(request)}{ROOT}"
    return render(
        request, "api/page.html", {"root": root, "subjects": page.subjects(root), "meanings": page.meanings()}
    )


def _address_of(request: HttpRequest) -> str:
    """The site's address as the browser reached it, if that is one of its own."""
    requested = f"{request.scheme}://{request.get_host()}"
    return requested if requested in settings.ORIGINS or not settings.ORIGINS else str(settings.ORIGINS[0])
