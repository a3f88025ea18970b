"""What an admin chooses for the whole site on a page: read anywhere, changed with an entry in the audit log."""

from typing import TypedDict, Unpack

from django.db import transaction

from accounts import audit
from accounts.models import User
from chat.models import SiteChoices


class Chosen(TypedDict, total=False):
    side_by_side_percent: int
    may_train_default: bool | None


NAMES = tuple(Chosen.__annotations__)


def get() -> SiteChoices:
    """As they stand; what nobody has changed yet has the values that the model gives. Writes nothing."""
    return SiteChoices.objects.first() or SiteChoices()


def change(actor: User, **chosen: Unpack[Chosen]) -> SiteChoices:
    """Sets what is named, and says so in the audit log; what stays the same leaves no entry."""
    with transaction.atomic():
        SiteChoices.objects.get_or_create()
        choices = SiteChoices.objects.select_for_update().get()
        before = _values(choices)
        for name, value in chosen.items():
            setattr(choices, name, value)
        choices.full_clean(exclude=["may_train_default"])  # None is a choice, too
        if (after := _values(choices)) != before:
            choices.save()
            audit.record(actor, "choices.change", choices, before=before, after=after)
    return choices


def _values(choices: SiteChoices) -> dict[str, object]:
    return {name: getattr(choices, name) for name in NAMES}
