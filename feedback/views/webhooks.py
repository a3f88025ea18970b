"""Pages of webhooks, for admins: the list, one with its deliveries, and what can be done with it."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts.requests import person
from feedback.models import Webhook, WebhookDelivery
from feedback.webhook_form import WebhookForm
from feedback.webhooks import events, sending, setting_up
from feedback.webhooks.addresses import BadHookAddress

DELIVERIES_PER_PAGE = 30


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def webhook_list(request: HttpRequest) -> HttpResponse:
    """A POST adds one; its response is the only page that shows the secret."""
    form = WebhookForm(request.POST if request.method == "POST" else None)
    context: dict[str, Any] = {}
    status = 400 if form.is_bound else 200
    if form.is_bound and form.is_valid():
        try:
            context["made"], context["secret"] = setting_up.add(**form.cleaned_data, by=person(request))
            form, status = WebhookForm(), 201
        except BadHookAddress as error:
            form.add_error("url", str(error))
    context |= {"form": form, "webhooks": Webhook.objects.all()}
    return render(request, "feedback/webhooks.html", context, status=status)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def webhook_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Its deliveries; a POST changes it."""
    webhook = get_object_or_404(Webhook, pk=pk)
    form = WebhookForm(
        request.POST if request.method == "POST" else None,
        initial={"name": webhook.name, "url": webhook.url, "events": webhook.events},
    )
    if form.is_bound and form.is_valid():
        try:
            setting_up.change(webhook, by=person(request), **form.cleaned_data)
        except BadHookAddress as error:
            form.add_error("url", str(error))
        else:
            messages.success(request, _("Saved."))
            return redirect("webhook", pk)
    return _page(request, webhook, form, 400 if form.is_bound else 200)


def _page(request: HttpRequest, webhook: Webhook, form: WebhookForm, status: int, secret: str = "") -> HttpResponse:
    page = Paginator(webhook.deliveries.all(), DELIVERIES_PER_PAGE).get_page(request.GET.get("page"))
    words = {**events.EVENTS, events.TEST: _("Test")}
    rows = [(row, words.get(row.event, row.event)) for row in page]
    context = {"webhook": webhook, "form": form, "page": page, "rows": rows, "secret": secret}
    return render(request, "feedback/webhook.html", context, status=status)


@never_cache
@require_POST
def act_on_webhook(request: HttpRequest, pk: int, act: str) -> HttpResponse:
    """test, on, off, rotate or remove. A test is sent by the worker within some seconds."""
    webhook, by = get_object_or_404(Webhook, pk=pk), person(request)
    if act == "rotate":
        secret = setting_up.rotate(webhook, by=by)
        known = {"name": webhook.name, "url": webhook.url, "events": webhook.events}
        return _page(request, webhook, WebhookForm(initial=known), 200, secret)
    if act == "remove":
        setting_up.remove(webhook, by=by)
        messages.success(request, _("“%(name)s” was removed.") % {"name": webhook.name})
        return redirect("webhooks")
    if act in ("on", "off"):
        setting_up.change(webhook, by=by, is_on=act == "on")
    elif act == "test":
        events.test(webhook)
        messages.success(request, _("A test is on its way. Reload the page in some seconds to see how it went."))
    else:
        raise Http404
    return redirect("webhook", pk)


@require_POST
def resend_delivery(request: HttpRequest, pk: int) -> HttpResponse:
    delivery = get_object_or_404(WebhookDelivery, pk=pk)
    sending.resend(delivery)
    messages.success(request, _("It will be sent again, with the same id."))
    return redirect("webhook", delivery.webhook_id)
