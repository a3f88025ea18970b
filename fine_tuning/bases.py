"""What a person may start from: asked of the app above, which knows aliases (settings.TUNING_MODELS)."""

from importlib import import_module
from typing import Protocol, cast

from django.conf import settings

from accounts.models import User
from chat.models import Policy


class Names(Protocol):
    def base_of(self, person: User, name: str) -> Policy | None: ...

    def bases(self, person: User) -> dict[str, Policy]: ...


def _names() -> Names:
    return cast(Names, import_module(settings.TUNING_MODELS))


def named(person: User, name: str) -> Policy | None:
    """None for what is not there as for what the person may not see."""
    return _names().base_of(person, name)


def of(person: User) -> dict[str, Policy]:
    return _names().bases(person)
