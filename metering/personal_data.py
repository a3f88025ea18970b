"""What is kept of a person's usage; bills stay when somebody leaves, under the made-up name of the account."""

from collections.abc import Collection
from uuid import UUID

from accounts.models import User
from accounts.personal import Table
from metering.models import Budget

EXPORT: tuple[Table, ...] = (Table("metering.Usage", "user"), Table("metering.Budget", "user"))
EXCLUDED: dict[str, str] = {}


def forget_conversations(ids: Collection[UUID]) -> None:
    """A bill holds nothing of conversations."""


def forget_person(person: User) -> None:
    """What the site spent stays counted; it names an account that names nobody any more."""
    Budget.objects.filter(user=person).delete()
