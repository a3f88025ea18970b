"""The tour: three cards on how the site learns, shown on a page and, until they are put away, on the chat's home."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.requests import person
from chat.models import default_consent


@require_safe
def tour(request: HttpRequest) -> HttpResponse:
    return render(request, "chat/tour/page.html", {"consent_default": default_consent()})


@require_POST
def finish_tour(request: HttpRequest) -> HttpResponse:
    """Stored with the account, so that the cards do not come back on another device."""
    reader = person(request)
    if reader.toured_at is None:
        reader.toured_at = timezone.now()
        reader.save(update_fields=["toured_at"])
    return redirect("home")
