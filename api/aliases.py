"""Adds, changes and removes aliases, each with an entry in the audit log."""

from dataclasses import dataclass

from django.db import IntegrityError, transaction

from accounts import audit
from accounts.models import User
from api.models import Alias
from chat.models import Policy


@dataclass
class NameTaken(Exception):
    """An alias of that name exists already."""

    name: str


def add(name: str, policy: Policy | None, *, actor: User) -> Alias:
    """Raises NameTaken."""
    try:
        with transaction.atomic():
            alias = Alias.objects.create(name=name, policy=policy)
            audit.record(actor, "alias.add", alias, after=_values(alias))
    except IntegrityError as error:
        raise NameTaken(name) from error
    return alias


def change(alias: Alias, policy: Policy | None, *, actor: User) -> None:
    """Writes no entry where nothing changes."""
    with transaction.atomic():
        locked = Alias.objects.select_for_update().get(pk=alias.pk)
        before = _values(locked)
        locked.policy = policy
        if (after := _values(locked)) != before:
            locked.save(update_fields=["policy"])
            audit.record(actor, "alias.change", locked, before=before, after=after)


def remove(alias: Alias, *, actor: User) -> None:
    with transaction.atomic():
        audit.record(actor, "alias.remove", alias, before=_values(alias))
        alias.delete()


def _values(alias: Alias) -> dict[str, str | None]:
    return {"name": alias.name, "policy": alias.policy.name if alias.policy else None}
