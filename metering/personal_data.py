"""Personal data of metering: usage stays under the made-up name of an erased account, budgets are deleted."""

from collections.abc import Collection
from uuid import UUID

from accounts.models import User
from accounts.personal import Table
from metering.models import Budget

EXPORT: tuple[Table, ...] = (Table("metering.Usage", "user"), Table("metering.Budget", "user"))
EXCLUDED: dict[str, str] = {}


def forget_conversations(ids: Collection[UUID]) -> None:
    """Usage stores nothing about conversations."""


def forget_person(person: User) -> None:
    """Usage stays, so that the site's costs add up; the account that it refers to no longer identifies anybody."""
    Budget.objects.filter(user=person).delete()
