"""What the API tells of itself, to programs."""

from django.http import HttpRequest, JsonResponse

from api import openapi


def document(request: HttpRequest) -> JsonResponse:
    return JsonResponse(openapi.document())
