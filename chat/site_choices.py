"""The choices that an admin makes for the whole site on a page; changes go into the audit log."""

from typing import TypedDict, Unpack

from django.db import transaction

from accounts import audit
from accounts.models import User
from chat.models import SiteChoices


class Chosen(TypedDict, total=False):
    side_by_side_percent: int
    may_train_default: bool | None
    titles_by_model: bool


NAMES = tuple(Chosen.__annotations__)


def get() -> SiteChoices:
    """The stored choices, or the model's defaults if nobody has changed them. Writes nothing."""
    return SiteChoices.objects.first() or SiteChoices()


def change(actor: User, **chosen: Unpack[Chosen]) -> SiteChoices:
    """Sets the given choices, with an entry in the audit log if a value changes."""
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
