"""The base models that a person may fine-tune, from the app that knows aliases, too (settings.TUNING_MODELS)."""

from importlib import import_module
from typing import Protocol, cast

from django.conf import settings

from accounts.models import User
from chat.models import Policy


class BaseModels(Protocol):
    """What the module named in settings.TUNING_MODELS provides."""

    def find(self, person: User, name: str) -> Policy | None: ...

    def available_to(self, person: User) -> dict[str, Policy]: ...


def _provider() -> BaseModels:
    return cast(BaseModels, import_module(settings.TUNING_MODELS))


def find(person: User, name: str) -> Policy | None:
    """None both for an unknown model and for one that the person may not see."""
    return _provider().find(person, name)


def available_to(person: User) -> dict[str, Policy]:
    """{name: policy}."""
    return _provider().available_to(person)
