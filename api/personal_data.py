"""What the API keeps of a person: nothing of its own; keys, usage, files and jobs are told by their apps."""

from collections.abc import Collection
from uuid import UUID

from accounts.models import User
from accounts.personal import Table

EXPORT: tuple[Table, ...] = ()
EXCLUDED = {"api.Alias": "names of models that admins give"}


def forget_conversations(ids: Collection[UUID]) -> None:
    """No alias knows of a conversation."""


def forget_person(person: User) -> None:
    """No alias is anybody's."""
