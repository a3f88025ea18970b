"""Answers unknown addresses under `/v1/` in JSON."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from api.errors import answer, unknown
from api.middleware import OPEN


@csrf_exempt
def missing(request: HttpRequest, rest: str = "") -> HttpResponse:
    return answer(unknown("address", f"{request.method} /v1/{rest}"))


missing.scope = OPEN  # type: ignore[attr-defined]
