"""The signed-in user of a request."""

from django.http import HttpRequest

from accounts.models import User


def person(request: HttpRequest) -> User:
    """The user of a request. For views whose routes the permission table opens to signed-in people only."""
    assert isinstance(request.user, User)
    return request.user
