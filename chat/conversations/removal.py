"""Removes conversations for good: deleted ones once they can no longer be restored."""

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts import personal
from chat.models import Conversation

KEPT = timedelta(days=30)
"""How long a deleted conversation can be restored."""
BATCH = 200


def remove_deleted() -> int:
    """Removes conversations deleted longer than KEPT ago with everything that refers to them; returns how many."""
    old = Conversation.objects.filter(deleted_at__lt=timezone.now() - KEPT).order_by("deleted_at")
    removed = 0
    for pk in list(old.values_list("pk", flat=True)[:BATCH]):
        try:
            remove([pk])
        except personal.NotYet:
            continue
        removed += 1
    return removed


def remove(ids: Collection[UUID]) -> None:
    """Removes conversations with all that refers to them, or none of them. Raises personal.NotYet while one is in
    use."""
    with transaction.atomic():
        for app in personal.modules():
            app.forget_conversations(ids)
