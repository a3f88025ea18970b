"""Claims: who opened an item has it for some minutes, and the next item of others is another one."""

from collections.abc import Collection
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from accounts.models import User
from feedback.models import Claim
from feedback.moderation.items import ItemKey, from_columns

KEPT_FOR = timedelta(minutes=10)


def take(key: ItemKey, moderator: User, *, now: datetime | None = None) -> Claim | None:
    """Claims the item, or renews the moderator's claim. The other moderator's claim, if there is one: it stays."""
    now = now or timezone.now()
    free = Q(moderator=moderator) | Q(until__lte=now)
    own = {"moderator": moderator, "until": now + KEPT_FOR}
    if Claim.objects.filter(free, **key.lookup).update(**own):
        return None
    try:
        with transaction.atomic():
            Claim.objects.create(**key.lookup, **own)
    except IntegrityError:  # another moderator has it
        return Claim.objects.select_related("moderator").filter(**key.lookup).exclude(moderator=moderator).first()
    return None


def release(key: ItemKey, moderator: User) -> None:
    Claim.objects.filter(moderator=moderator, **key.lookup).delete()


def held_by_others(moderator: User, *, now: datetime | None = None) -> dict[ItemKey, Claim]:
    """Items that other moderators have now."""
    held = Claim.objects.filter(until__gt=now or timezone.now()).exclude(moderator=moderator)
    return {from_columns(claim.message_id, claim.completion_id): claim for claim in held.select_related("moderator")}


def first_free(keys: Collection[ItemKey], moderator: User) -> ItemKey | None:
    """The first of them that no other moderator has."""
    held = held_by_others(moderator)
    return next((key for key in keys if key not in held), None)
