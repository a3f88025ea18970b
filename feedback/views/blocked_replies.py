"""The list of replies that a guard ended, for moderators to judge whether it was right."""

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from base.requests import filters_of
from chat import guards
from feedback.moderation import reviews
from feedback.views.moderation import ITEMS_A_PAGE, counts


@require_GET
def blocked_replies(request: HttpRequest) -> HttpResponse:
    reviewed, rule = request.GET.get("reviewed") == "1", request.GET.get("rule", "")
    page = Paginator(reviews.blocked(rule=rule, reviewed=reviewed), ITEMS_A_PAGE).get_page(request.GET.get("page"))
    keys = {message.reply.blocked_by for message in page.object_list}
    figures = reviews.verdicts_of_guards()
    names = {key: guards.name_of(key) for key in keys | set(figures)}
    context = {
        "page": page,
        "rows": [{"message": message, "name": names[message.reply.blocked_by]} for message in page.object_list],
        "figures": [{"key": key, "name": names[key], **found} for key, found in figures.items()],
        "filters": filters_of(request),
        "reviewed": reviewed,
        "counts": counts(),
    }
    return render(request, "feedback/blocked_replies.html", context)
