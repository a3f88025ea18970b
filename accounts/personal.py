"""What the site keeps of a person: each app names its tables, and says how they are taken along or forgotten.

The apps stand in settings.PERSONAL_DATA, those that know most first. Each is a module with

    EXPORT      the tables that a person takes along
    EXCLUDED    tables with a way to a user that nobody takes along: {label: why}
    forget_conversations(ids)   removes what hangs on conversations that will be removed
    forget_person(person)       removes or anonymises the rest that leads to a person

A test walks every model: one with a way to a user is in EXPORT or in EXCLUDED.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast
from uuid import UUID

from django.apps import apps
from django.conf import settings

from accounts.models import User

Row = dict[str, Any]


class NotYet(Exception):
    """Something of the person is in use just now; to be tried again later."""


@dataclass(frozen=True)
class Table:
    """A table that a person takes along."""

    label: str
    """As in `chat.Message`."""
    owner: str
    """The lookup that leads from a row to the person."""
    without: frozenset[str] = frozenset()
    """Columns that are left out."""
    changed: Callable[[Row, User], Row] = lambda row, person: row
    """What is done to each row before it is given away."""

    def rows(self, person: User) -> Iterator[Row]:
        model = apps.get_model(self.label)
        columns = [field.attname for field in model._meta.concrete_fields if field.name not in self.without]
        found = model._default_manager.filter(**{self.owner: person.pk}).order_by("pk")
        for row in found.values(*columns).iterator(chunk_size=1000):
            yield self.changed(row, person)


class PersonalData(Protocol):
    EXPORT: Collection[Table]
    EXCLUDED: Mapping[str, str]

    def forget_conversations(self, ids: Collection[UUID]) -> None: ...

    def forget_person(self, person: User) -> None: ...


def of_the_apps() -> list[PersonalData]:
    return [cast(PersonalData, import_module(path)) for path in settings.PERSONAL_DATA]
