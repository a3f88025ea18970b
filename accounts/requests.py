"""Who asks."""

from django.http import HttpRequest

from accounts.models import User


def person(request: HttpRequest) -> User:
    """Who asks. Views that call this stand behind the permission table, which lets nobody anonymous in."""
    assert isinstance(request.user, User)
    return request.user
