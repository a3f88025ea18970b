"""Endpoints of `/v1/organization`: the whole site's usage and costs, for admins."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, JsonResponse
from django.utils.translation import gettext_noop as _

from api.description.operations import Query, operation
from api.endpoints import limit_of
from api.errors import bad
from metering import buckets
from metering.buckets import Row, Window
from metering.models import Usage
from metering.prices import dollars

LATEST = 253_402_214_400
"""The last day of Python's calendar; later times are refused."""
USER, KEY, PAGE = "user-", "key_", "page_"
LIMITS = {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)}
"""Buckets on a page by their width: the default, and the most."""
COSTS_LIMIT = (7, 180)
USAGE_COLUMNS = {"user_id": "user", "api_key_id": "key", "model": "model"}
COSTS_COLUMNS = {"user_id": "user", "api_key_id": "key"}
ALWAYS_NULL = ("project_id", "batch", "service_tier", "api_source")
"""What OpenAI can group by and this site does not have: everything is in one group named null."""

TIME = {"type": "integer", "minimum": 0, "maximum": LATEST}
TEXTS = {"type": "array", "items": {"type": "string"}}


def _limited(usual: int, most: int) -> Mapping[str, Any]:
    return {"type": "integer", "minimum": 1, "maximum": most, "default": usual}


SPAN = (
    Query("start_time", _("Unix time; the page starts with the bucket that contains it."), TIME, required=True),
    Query("end_time", _("Unix time before which the last bucket starts; if omitted, now."), TIME),
    Query("page", _("`next_page` of the previous page.")),
)
BUCKETS = {"type": "integer", "minimum": 1, "maximum": 1440}
NUMBER = {"type": "integer", "minimum": 0}
NOTHING = {"type": "null"}
TEXT_OR_NULL = {"type": ["string", "null"]}


def _page_schema(result: Mapping[str, Any]) -> dict[str, Any]:
    bucket = {
        "type": "object",
        "required": ["object", "start_time", "end_time", "results"],
        "properties": {
            "object": {"const": "bucket"},
            "start_time": NUMBER,
            "end_time": NUMBER,
            "results": {"type": "array", "items": result},
        },
    }
    return {
        "type": "object",
        "required": ["object", "data", "has_more", "next_page"],
        "properties": {
            "object": {"const": "page"},
            "data": {"type": "array", "items": bucket},
            "has_more": {"type": "boolean"},
            "next_page": TEXT_OR_NULL,
        },
    }


def _result_schema(name: str, **properties: Mapping[str, Any]) -> dict[str, Any]:
    fields = {"object": {"const": name}, **properties}
    return {"type": "object", "required": list(fields), "properties": fields}


USAGE_RESULT = _result_schema(
    "organization.usage.completions.result",
    input_tokens=NUMBER,
    output_tokens=NUMBER,
    num_model_requests=NUMBER,
    input_cached_tokens=NUMBER,
    input_audio_tokens=NUMBER,
    output_audio_tokens=NUMBER,
    project_id=NOTHING,
    user_id=TEXT_OR_NULL,
    api_key_id=TEXT_OR_NULL,
    model=TEXT_OR_NULL,
    batch=NOTHING,
)
AMOUNT = {
    "type": "object",
    "required": ["value", "currency"],
    "properties": {"value": {"type": "number", "minimum": 0}, "currency": {"const": "usd"}},
}
COSTS_RESULT = _result_schema(
    "organization.costs.result",
    amount=AMOUNT,
    line_item=TEXT_OR_NULL,
    project_id=NOTHING,
    user_id=TEXT_OR_NULL,
    api_key_id=TEXT_OR_NULL,
    quantity={"type": ["integer", "null"]},
    quantity_unit={"enum": ["tokens", None]},
)


@operation(
    _("Usage of completions"),
    tag="Usage",
    description=_(
        "Tokens and requests of chats and completions in UTC buckets, from the site's pages and "
        "from the API. The key needs the scope `admin`."
    ),
    query=(
        *SPAN,
        Query("bucket_width", _("Length of a bucket."), {"type": "string", "enum": list(LIMITS), "default": "1d"}),
        Query(
            "limit",
            _("Buckets per page: 7 days (at most 31), 24 hours (at most 168) or 60 minutes (at most 1440)."),
            BUCKETS,
        ),
        Query("group_by[]", f"Any of {', '.join((*USAGE_COLUMNS, *ALWAYS_NULL))}.", TEXTS, example=["model"]),
        Query("user_ids[]", _("Only usage of these people, for example `user-1`."), TEXTS),
        Query("api_key_ids[]", _("Only usage with these keys, for example `key_1`."), TEXTS),
        Query("models[]", _("Only usage of these models, by policy name."), TEXTS),
    ),
    answer=_page_schema(USAGE_RESULT),
)
def usage(request: HttpRequest) -> JsonResponse:
    width = request.GET.get("bucket_width") or "1d"
    if width not in LIMITS:
        raise bad(f"bucket_width: expected one of {', '.join(LIMITS)}", "bucket_width")
    window = _window_of(request, width, *LIMITS[width])
    groups = _groups_of(request, (*USAGE_COLUMNS, *ALWAYS_NULL))
    columns = [column for name, column in USAGE_COLUMNS.items() if name in groups]
    rows = _filtered(request, Usage.objects.exclude(kind=Usage.Kind.TRAINING))
    return _page(window, buckets.usage(rows, window, columns), _usage_result)


@operation(
    _("Costs"),
    tag="Usage",
    description=_("What completions and training cost, in dollars per UTC day. The key needs the scope `admin`."),
    query=(
        *SPAN,
        Query("bucket_width", _("One day."), {"type": "string", "enum": ["1d"], "default": "1d"}),
        Query("limit", _("Days per page."), _limited(*COSTS_LIMIT)),
        Query("group_by[]", _("Any of line_item, api_key_id, project_id."), TEXTS, example=["line_item"]),
        Query("user_ids[]", _("Only costs of these people, for example `user-1`."), TEXTS),
        Query("api_key_ids[]", _("Only costs of these keys, for example `key_1`."), TEXTS),
        Query("models[]", _("Only costs of these models, by policy name."), TEXTS),
    ),
    answer=_page_schema(COSTS_RESULT),
)
def costs(request: HttpRequest) -> JsonResponse:
    if request.GET.get("bucket_width") not in (None, "", "1d"):
        raise bad("bucket_width: costs are told by the day: 1d", "bucket_width")
    window = _window_of(request, "1d", *COSTS_LIMIT)
    groups, items = (
        _groups_of(request, ("line_item", *COSTS_COLUMNS, *ALWAYS_NULL)),
        _values_of(request, "line_items"),
    )
    columns = [column for name, column in COSTS_COLUMNS.items() if name in groups]
    rows = _filtered(request, Usage.objects.all())
    if items or "line_item" in groups:
        return _page(window, buckets.costs_by_line(rows, window, columns, items), _costs_result)
    return _page(window, buckets.costs(rows, window, columns), _costs_result)


def _page(window: Window, found: Mapping[int, list[Row]], show: Callable[[Row], dict[str, Any]]) -> JsonResponse:
    data = [
        {
            "object": "bucket",
            "start_time": start,
            "end_time": start + window.width_s,
            "results": [show(row) for row in found[start]],
        }
        for start in window.starts
    ]
    following = window.next_start
    next_page = None if following is None else f"{PAGE}{following}"
    return JsonResponse({"object": "page", "data": data, "has_more": next_page is not None, "next_page": next_page})


def _usage_result(row: Row) -> dict[str, Any]:
    return {
        "object": "organization.usage.completions.result",
        "input_tokens": row["sum_prompt_tokens"],
        "output_tokens": row["sum_completion_tokens"],
        "num_model_requests": row["sum_requests"],
        "input_cached_tokens": 0,
        "input_audio_tokens": 0,
        "output_audio_tokens": 0,
        "project_id": None,
        "user_id": _prefixed(USER, row.get("user")),
        "api_key_id": _prefixed(KEY, row.get("key")),
        "model": row.get("model"),
        "batch": None,
    }


def _costs_result(row: Row) -> dict[str, Any]:
    return {
        "object": "organization.costs.result",
        "amount": {"value": float(dollars(row["nano"])), "currency": "usd"},
        "line_item": row.get("line"),
        "project_id": None,
        "user_id": _prefixed(USER, row.get("user")),
        "api_key_id": _prefixed(KEY, row.get("key")),
        "quantity": row.get("count"),
        "quantity_unit": "tokens" if "count" in row else None,
    }


def _prefixed(prefix: str, number: int | None) -> str | None:
    return None if number is None else f"{prefix}{number}"


def _window_of(request: HttpRequest, width: str, usual: int, most: int) -> Window:
    """Raises an ApiError that names the wrong parameter."""
    start, end = _time_in(request, "start_time"), _time_in(request, "end_time")
    if start is None:
        raise bad("start_time: missing", "start_time")
    if end is not None and end <= start:
        raise bad("end_time: has to be later than start_time", "end_time")
    end = int(time.time()) + 1 if end is None else end
    if request.GET.get("page"):
        start = max(start, _number_of(request.GET["page"], PAGE, "page"))
    return Window(start, end, width, limit_of(request, usual, most))


def _time_in(request: HttpRequest, name: str) -> int | None:
    given = request.GET.get(name)
    return None if given in (None, "") else _number_of(str(given), "", name)


def _number_of(text: str, prefix: str, param: str) -> int:
    """Raises ApiError unless it is the prefix and a number that can be a time or an id."""
    digits = text.removeprefix(prefix)
    if not text.startswith(prefix) or not (digits.isascii() and digits.isdecimal()) or len(digits) > len(str(LATEST)):
        raise bad(f"{param}: cannot be read: {text[:100]}", param)
    if int(digits) > LATEST:
        raise bad(f"{param}: expected at most {prefix}{LATEST}", param)
    return int(digits)


def _values_of(request: HttpRequest, name: str) -> list[str]:
    """The values of a repeatable parameter, with brackets after its name or without."""
    return [value for value in (*request.GET.getlist(f"{name}[]"), *request.GET.getlist(name)) if value]


def _groups_of(request: HttpRequest, known: Sequence[str]) -> set[str]:
    groups = _values_of(request, "group_by")
    for group in groups:
        if group not in known:
            raise bad(f"group_by: expected any of {', '.join(known)}", "group_by")
    return set(groups)


def _filtered(request: HttpRequest, rows: QuerySet[Usage]) -> QuerySet[Usage]:
    """The rows that match the query's filters; there are no projects or batches here."""
    if _values_of(request, "project_ids") or request.GET.get("batch") == "true":
        return rows.none()
    if users := _values_of(request, "user_ids"):
        rows = rows.filter(user__in=[_number_of(user, USER, "user_ids") for user in users])
    if keys := _values_of(request, "api_key_ids"):
        rows = rows.filter(key__in=[_number_of(key, KEY, "api_key_ids") for key in keys])
    if models := _values_of(request, "models"):
        rows = rows.filter(model__in=[model for model in models if "\0" not in model])  # PostgreSQL refuses NUL
    return rows
