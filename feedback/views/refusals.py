"""JSON for a script whose request was refused."""

from django.http import JsonResponse


def refused(code: str, text: str, status: int) -> JsonResponse:
    return JsonResponse({"ok": False, "code": code, "message": text}, status=status)
