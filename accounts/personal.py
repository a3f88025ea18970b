"""Personal data: how apps declare which tables a person may export, and how the person is erased from them.

settings.PERSONAL_DATA lists a module of each app, the highest layer first. Each has

    EXPORT      tables that are part of a person's export
    EXCLUDED    tables that refer to a user but are not exported: {label: why}
    forget_conversations(ids)   removes what depends on conversations that will be removed
    forget_person(person)       removes or anonymises everything else that refers to the person

and, where the app makes something of people's texts,

    withdraw_conversations(ids) takes the texts of these conversations out of it
    withdraw_person(person)     takes out those of all conversations of the person

A test walks every model: one that refers to a user, directly or through others, is in EXPORT or in EXCLUDED.
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
    """Some of the person's data is in use, so they cannot be erased yet."""


@dataclass(frozen=True)
class Table:
    """A table that is part of a person's export."""

    label: str
    """For example `chat.Message`."""
    owner: str
    """The lookup that leads from a row to the person."""
    without: frozenset[str] = frozenset()
    """Columns that are left out."""
    changed: Callable[[Row, User], Row] = lambda row, person: row
    """Applied to each row before it is exported."""

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


def modules() -> list[PersonalData]:
    return [cast(PersonalData, import_module(path)) for path in settings.PERSONAL_DATA]


def withdraw_texts(person: User) -> None:
    """The person no longer agrees that others read their texts. Must run in the transaction of the withdrawal."""
    for app in modules():
        getattr(app, "withdraw_person", lambda _person: None)(person)


def withdraw_conversations(ids: Collection[UUID]) -> None:
    """The same, of some conversations."""
    for app in modules():
        getattr(app, "withdraw_conversations", lambda _ids: None)(ids)
