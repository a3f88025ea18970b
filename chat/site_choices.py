"""The choices that an admin makes for the whole site on a page; changes go into the audit log."""

from typing import TypedDict, Unpack

from django.conf import settings
from django.db import transaction

from accounts import audit
from accounts.models import User
from chat.models import Policy, SiteChoices


class Chosen(TypedDict, total=False):
    side_by_side_percent: int
    may_train_default: bool | None
    titles_by_model: bool
    system_prompt: str | None
    best_of: int
    rule_thresholds: dict[str, float]


NAMES = tuple(Chosen.__annotations__)


def get() -> SiteChoices:
    """The stored choices, or the model's defaults if nobody has changed them. Writes nothing."""
    return SiteChoices.objects.first() or SiteChoices()


def system_prompt_for(policy: Policy | None) -> str:
    """What the site asks of whoever answers; None: of the live policy. Empty for a person's own model, which answers
    as its data taught it."""
    if policy is not None and policy.owner_id is not None:
        return ""
    chosen = get().system_prompt
    text = str(settings.CHAT_SYSTEM_PROMPT) if chosen is None else chosen
    return text


def change(actor: User, **chosen: Unpack[Chosen]) -> SiteChoices:
    """Sets the given choices, with an entry in the audit log if a value changes."""
    with transaction.atomic():
        SiteChoices.objects.get_or_create()
        choices = SiteChoices.objects.select_for_update().get()
        before = _values(choices)
        for name, value in chosen.items():
            setattr(choices, name, value)
        choices.full_clean(exclude=["may_train_default", "system_prompt", "rule_thresholds"])  # None is a choice, too
        if (after := _values(choices)) != before:
            choices.save()
            audit.record(actor, "choices.change", choices, before=before, after=after)
    return choices


def _values(choices: SiteChoices) -> dict[str, object]:
    return {name: getattr(choices, name) for name in NAMES}
