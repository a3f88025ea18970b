"""Who acts: the signed-in user of the request that is being answered, for code that no request reaches."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.http import HttpRequest

from accounts.models import User

_request: ContextVar[HttpRequest | None] = ContextVar("request", default=None)


@contextmanager
def answering(request: HttpRequest) -> Iterator[None]:
    token = _request.set(request)
    try:
        yield
    finally:
        _request.reset(token)


def acting_person() -> User | None:
    """None: the system, or somebody who is not signed in."""
    request = _request.get()
    user = getattr(request, "user", None)
    return user if isinstance(user, User) else None
