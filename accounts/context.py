"""What every template knows."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest


def site(request: HttpRequest) -> dict[str, Any]:
    user = getattr(request, "user", None)
    roles = {role.value for role in user.roles()} if user is not None and user.is_authenticated else set()
    return {"roles": roles, "is_demo": settings.DEBUG, "sign_up_open": settings.SIGN_UP_OPEN}
