"""The page on which people report a reply of their own conversation."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.requests import person
from base.requests import wants_json
from chat.models import Message
from feedback.forms import ReportForm
from feedback.moderation import reports


@require_http_methods(["GET", "POST"])
def report_message(request: HttpRequest, message_id: int) -> HttpResponse:
    """A page with a form, or with `?part` the form alone; a script that accepts JSON gets JSON."""
    message = get_object_or_404(
        Message.objects.select_related("conversation"),
        pk=message_id,
        role=Message.Role.ASSISTANT,
        conversation__owner=person(request),
        conversation__deleted_at__isnull=True,
    )
    form = ReportForm(request.POST or None)
    if request.method != "POST":
        return _page(request, form, message)
    if not form.is_valid():
        return _failed(request, form, message, 400)
    try:
        reports.report_message(person(request), message, form.version(), form.cleaned_data["comment"])
    except reports.TooManyReports as error:
        form.add_error(None, str(error))
        response = _failed(request, form, message, 429)
        response["Retry-After"] = str(error.retry_after_s)
        return response
    thanks = _("Thank you. A moderator will look at this reply.")
    if wants_json(request):
        return JsonResponse({"ok": True, "message": thanks}, status=201)
    messages.success(request, thanks)
    return redirect("conversation", message.conversation_id)


def _page(request: HttpRequest, form: ReportForm, message: Message, status: int = 200) -> HttpResponse:
    flags = reports.flags_of(person(request), message)
    context = {"form": form, "message": message, "flags": flags}
    template = "feedback/report_form.html" if "part" in request.GET else "feedback/report.html"
    return render(request, template, context, status=status)


def _failed(request: HttpRequest, form: ReportForm, message: Message, status: int) -> HttpResponse:
    if wants_json(request):
        return JsonResponse({"ok": False, "errors": form.errors.get_json_data()}, status=status)
    return _page(request, form, message, status)
