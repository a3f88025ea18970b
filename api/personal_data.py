"""Personal data of the API: none; keys, usage, files and jobs belong to other apps."""

from collections.abc import Collection
from uuid import UUID

from accounts.models import User
from accounts.personal import Table

EXPORT: tuple[Table, ...] = ()
EXCLUDED = {"api.Alias": "names of models that admins give"}


def forget_conversations(ids: Collection[UUID]) -> None:
    """Nothing to do: aliases refer to no conversation."""


def forget_person(person: User) -> None:
    """Nothing to do: aliases belong to nobody."""
