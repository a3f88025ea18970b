"""What views of every app ask of a request."""

from django.http import HttpRequest


def wants_json(request: HttpRequest) -> bool:
    """Whether a script asks, which reads JSON, and not a person's browser, which shows a page."""
    return "application/json" in request.headers.get("Accept", "")


def filters_of(request: HttpRequest) -> str:
    """The query without its page number, for links to the other pages of a list."""
    filters = request.GET.copy()
    filters.pop("page", None)
    return filters.urlencode()
