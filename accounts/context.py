"""Template context of every page: the reader's roles, their unread notices, and settings that pages depend on."""

from functools import partial
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from accounts import notices
from accounts.models import User
from accounts.roles import Role

THEME_COOKIE = "theme"
THEMES = ("light", "dark")


def site(request: HttpRequest) -> dict[str, Any]:
    user = getattr(request, "user", None)
    roles = {role.value for role in user.roles()} if user is not None and user.is_authenticated else set()
    return {
        "roles": roles,
        "role_word": role_word(roles),
        # Counted where the bar asks, so that parts of pages without one ask nothing.
        "unread_notices": partial(notices.count_unread, user) if isinstance(user, User) else 0,
        "theme": theme_of(request),
        "is_demo": settings.DEMO,
        "sign_up_open": settings.SIGN_UP_OPEN,
    }


def theme_of(request: HttpRequest) -> str:
    """`light` or `dark`; empty where the page follows the device."""
    user = getattr(request, "user", None)
    chosen = user.theme if user is not None and user.is_authenticated else request.COOKIES.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else ""


def role_word(roles: set[str]) -> str:
    """The highest of the roles, in the language of the page."""
    highest = [role for role in Role if role.value in roles]
    return str(highest[-1].label) if highest else ""
