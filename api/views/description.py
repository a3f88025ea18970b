"""Endpoint of the OpenAPI document."""

from django.http import HttpRequest, JsonResponse

from api.description import openapi


def document(request: HttpRequest) -> JsonResponse:
    return JsonResponse(openapi.document())
