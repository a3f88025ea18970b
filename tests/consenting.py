"""Consent of people in tests, to the words that are in force."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.models.signals import post_save

from accounts import consent_texts, consents
from accounts.models import User
from chat.models import Conversation


def agree(*people):
    for person in people:
        consents.give(person, consent_texts.current().number)


def open_conversation(owner, **fields):
    """One whose owner lets others read it."""
    agree(owner)
    return Conversation.objects.create(owner=owner, may_train=True, **fields)


@contextmanager
def everybody_agrees() -> Iterator[None]:
    """Whoever gets an account meanwhile."""

    def agree_at_once(instance: User, created: bool, **_: Any) -> None:
        if created:
            agree(instance)

    post_save.connect(agree_at_once, sender=User)
    try:
        yield
    finally:
        post_save.disconnect(agree_at_once, sender=User)
