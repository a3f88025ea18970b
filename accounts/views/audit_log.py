"""The audit log page, for moderators."""

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts import audit_checks
from accounts.forms import AuditFilter
from accounts.models import AuditEntry
from base.requests import filters_of

ENTRIES_PER_PAGE = 50


def audit_log(request: HttpRequest) -> HttpResponse:
    form = AuditFilter(request.GET or None)
    entries = AuditEntry.objects.select_related("actor", "undoes").filter(**form.lookups())
    page = Paginator(entries, ENTRIES_PER_PAGE).get_page(request.GET.get("page"))
    check = audit_checks.last_whole_check()
    newest = audit_checks.verify_newest(check)
    faults = dict.fromkeys(newest.faults + audit_checks.changed_among(list(page)))  # each once, in order
    context = {"form": form, "page": page, "filters": filters_of(request), "check": check, "newest": newest}
    return render(request, "accounts/audit_log.html", context | {"faults": list(faults)})
