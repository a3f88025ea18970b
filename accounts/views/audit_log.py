"""The audit log page, for moderators."""

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.audit import broken_links
from accounts.forms import AuditFilter
from accounts.models import AuditEntry
from base.requests import filters_of

ENTRIES_PER_PAGE = 50


def audit_log(request: HttpRequest) -> HttpResponse:
    form = AuditFilter(request.GET or None)
    entries = AuditEntry.objects.select_related("actor").filter(**form.lookups())
    page = Paginator(entries, ENTRIES_PER_PAGE).get_page(request.GET.get("page"))
    return render(
        request,
        "accounts/audit_log.html",
        {"form": form, "page": page, "filters": filters_of(request), "broken": broken_links()},
    )
