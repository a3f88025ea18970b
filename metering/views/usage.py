"""The usage and costs of a month, as a page and as a CSV file of its rows."""

import csv
import io
from datetime import UTC, date
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.models import ApiKey, User
from accounts.requests import person
from accounts.roles import Role
from base.dates import next_month, previous_month
from metering import bill, budgets, charts
from metering.bill import Subtotal
from metering.forms import UsageFilter
from metering.models import Usage
from metering.prices import dollars, per_thousand

COLUMNS = (
    "time",
    "user",
    "key_id",
    "key",
    "kind",
    "model",
    "requests",
    "prompt_tokens",
    "completion_tokens",
    "trained_tokens",
    "priced_as",
    "prompt_per_1k",
    "completion_per_1k",
    "training_per_1k",
    "cost",
    "ref",
)
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Characters at the beginning of a cell that make spreadsheets evaluate it."""


@never_cache
@require_safe
def usage(request: HttpRequest) -> HttpResponse:
    viewer = person(request)
    form = UsageFilter(viewer, request.GET)
    rows, month = form.rows(), form.month_shown
    days = bill.by_day(rows, month)
    is_admin = viewer.has_role(Role.ADMIN)
    context = {
        "form": form,
        "month": month,
        "former": _query_for(request, previous_month(month)),
        "next": _query_for(request, next_month(month)),
        "rows_address": _query_for(request, month),
        "days": [(day, sums) for day, sums in days if sums.requests],
        "charts": charts.charts(days),
        "total": bill.total(rows),
        "models": bill.by(rows, "model"),
        "keys": _with_keys(bill.by(rows, "key")),
        "users": _with_users(bill.by(rows, "user")) if is_admin else [],
        "budgets": budgets.standings(budgets.of_person(viewer)),
    }
    return render(request, "metering/usage.html", context, status=200 if form.is_valid() else 400)


@never_cache
@require_safe
def usage_rows(request: HttpRequest) -> HttpResponse:
    """The rows as CSV, oldest first, each with the prices that applied, so that the bill can be recomputed."""
    form = UsageFilter(person(request), request.GET)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    rows = form.rows().select_related("user", "key").order_by("id")
    writer.writerows(_cells(row) for row in rows.iterator(chunk_size=2000))
    name = f"chamsae-usage-{form.month_shown:%Y-%m}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    status = 200 if form.is_valid() else 400
    return HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8", headers=headers, status=status)


def _cells(row: Usage) -> list[Any]:
    key = row.key
    return [
        row.at.astimezone(UTC).isoformat(),
        _no_formula(row.user.username),
        key.pk if key else "",
        _no_formula(key.name) if key else "",
        row.kind,
        _no_formula(row.model),
        row.requests,
        row.prompt_tokens,
        row.completion_tokens,
        row.trained_tokens,
        _no_formula(row.priced_as),
        *(f"{per_thousand(price):f}" for price in (row.prompt_price, row.completion_price, row.training_price)),
        f"{dollars(row.cost):f}",
        row.ref,
    ]


def _no_formula(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


def _query_for(request: HttpRequest, month: date) -> str:
    """The query string with the same filters for another month."""
    query = request.GET.copy()
    query["month"] = f"{month:%Y-%m}"
    return query.urlencode()


def _with_keys(subtotals: list[Subtotal]) -> list[tuple[ApiKey | None, Subtotal]]:
    """Each subtotal with its key; None for usage without a key."""
    ids = [one.of["key"] for one in subtotals if one.of["key"] is not None]
    keys = ApiKey.objects.select_related("owner").in_bulk(ids)
    return [(keys.get(one.of["key"]), one) for one in subtotals]


def _with_users(subtotals: list[Subtotal]) -> list[tuple[User, Subtotal]]:
    users = User.objects.in_bulk([one.of["user"] for one in subtotals])
    return [(users[one.of["user"]], one) for one in subtotals]
