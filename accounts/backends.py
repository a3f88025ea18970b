"""Authentication by user name and password; refuses suspended people, and the demo password outside a demo."""

from typing import Any

from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

from accounts.models import User


class AccountBackend(ModelBackend):
    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        if password == settings.DEMO_PASSWORD and not settings.DEMO:
            return None
        return super().authenticate(request, username=username, password=password, **kwargs)

    def user_can_authenticate(self, user: Any) -> bool:
        is_program = user.is_simulated or user.is_imported
        return super().user_can_authenticate(user) and not user.is_suspended and not is_program
