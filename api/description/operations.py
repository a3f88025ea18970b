"""How an endpoint describes itself; the OpenAPI document and the page of the API are built from that.

    @operation("List files", tag="Files", query=(*PAGE, Query("purpose", "Only files of this purpose.")),
               answer=FileList, example={"object": "list", "data": []})
    def listing(request: HttpRequest) -> JsonResponse: ...

    path("files", endpoint(scope="files", GET=listing, POST=upload), name="files")

Every status that a view can answer with has to be declared, and a test checks that. 200 and COMMON_STATUSES are
declared for every address, 400 wherever there is a body or a query, 413 wherever there is a body; `fails` names the
others.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.utils.translation import gettext_noop as _
from pydantic import BaseModel

V = TypeVar("V", bound=Callable[..., Any])
Schema = Mapping[str, Any]
"""JSON Schema of 2020-12, as OpenAPI 3.1 has it."""

COMMON_STATUSES = (401, 403, 429, 500)
"""Statuses of every address that needs a key: no key, no permission, too many requests, a failure of the server."""
MEANINGS = {
    400: _("The request is invalid; `param` names the part that is wrong."),
    401: _("The key is missing, unknown or revoked."),
    403: _("The key does not have permission."),
    404: _("It does not exist, or the key has no access to it."),
    405: _("The address does not support this method."),
    409: _("This can't be done in its current state."),
    413: _("The body is too large."),
    415: _("The address does not accept this content type."),
    429: _("Too many requests, a full queue, or a spent budget; `Retry-After` gives the seconds to wait."),
    500: _("The server failed; its log has the request under its id."),
    503: _("No engine is available right now; `Retry-After` gives the seconds to wait."),
}


@dataclass(frozen=True)
class Query:
    """A parameter in the address after the question mark."""

    name: str
    description: str
    schema: Schema = field(default_factory=lambda: {"type": "string"})
    required: bool = False
    example: Any = None


AFTER = Query("after", _("Id of the last item on the previous page; this page starts after it."))
LIMIT = Query("limit", _("Items per page."), {"type": "integer", "minimum": 1, "maximum": 100, "default": 20})
PAGE = (AFTER, LIMIT)
"""Query parameters that api.endpoints.page_of reads."""


@dataclass(frozen=True)
class Operation:
    """One method of one address."""

    summary: str
    tag: str
    """The heading that it is listed under: `Completions`, `Models`, `Files`, `Fine-tuning`, `Usage`."""
    description: str = ""
    request: type[BaseModel] | None = None
    """Of a JSON body."""
    form: Schema | None = None
    """Of a multipart body: an object whose files are `{"type": "string", "format": "binary"}`."""
    request_example: Any = None
    answer: type[BaseModel] | Schema | None = None
    """Of a JSON answer; None: any object."""
    example: Any = None
    """An answer."""
    query: tuple[Query, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    """What each name in the path means, as in `{"file_id": "As the upload answered it."}`."""
    name_examples: Mapping[str, str] = field(default_factory=dict)
    fails: tuple[int, ...] = ()
    """Statuses beyond those that are declared anyway."""
    produces: tuple[str, ...] = ("application/json",)
    """Media types of the answer: `text/event-stream` beside JSON, `application/octet-stream` for a file's content."""
    is_legacy: bool = False
    """For clients of 2023; today's use another address."""


def operation(summary: str, *, tag: str, **fields: Any) -> Callable[[V], V]:
    """Decorator that describes a view; `fields` are those of Operation."""
    described = Operation(summary, tag, **fields)

    def describe(view: V) -> V:
        view.operation = described  # type: ignore[attr-defined]
        return view

    return describe


def operation_of(view: Callable[..., Any]) -> Operation | None:
    return getattr(view, "operation", None)
