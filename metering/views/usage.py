"""What was used and what it cost: the page of a month, and its rows as a file."""

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
"""What a spreadsheet takes for a formula when a cell begins with it."""


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
        "former": _address(request, bill.former_month(month)),
        "next": _address(request, bill.next_month(month)),
        "rows_address": _address(request, month),
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
    """The raw rows as CSV, oldest first: with the prices of their moment, so that the bill can be made anew."""
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


def _address(request: HttpRequest, month: date) -> str:
    """The query of the same choice in a month."""
    query = request.GET.copy()
    query["month"] = f"{month:%Y-%m}"
    return query.urlencode()


def _with_keys(lines: list[Subtotal]) -> list[tuple[ApiKey | None, Subtotal]]:
    """Each line with its key; None for what was used without one."""
    wanted = [line.of["key"] for line in lines if line.of["key"] is not None]
    keys = ApiKey.objects.select_related("owner").in_bulk(wanted)
    return [(keys.get(line.of["key"]), line) for line in lines]


def _with_users(lines: list[Subtotal]) -> list[tuple[User, Subtotal]]:
    users = User.objects.in_bulk([line.of["user"] for line in lines])
    return [(users[line.of["user"]], line) for line in lines]
