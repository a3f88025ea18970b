"""A person's own instructions: what the model is told about them, and how they want to be answered."""

from django.db import transaction

from accounts.models import User
from chat.models import Conversation, PersonalInstructions

LONGEST = 1500
"""Characters of each of the two texts: both together must leave most of the context to the conversation."""


def stored(person: User) -> PersonalInstructions:
    """Empty ones, which are not stored, of a person who has none."""
    return PersonalInstructions.objects.filter(owner=person).first() or PersonalInstructions(owner=person)


def store(person: User, about: str, manner: str, *, is_on: bool) -> PersonalInstructions:
    """Applies from the next message on; replies that are queued keep what they were queued with."""
    with transaction.atomic():
        if not (about or manner):
            PersonalInstructions.objects.filter(owner=person).delete()
            return PersonalInstructions(owner=person)
        values = {"about": about, "manner": manner, "is_on": is_on}
        return PersonalInstructions.objects.update_or_create(owner=person, defaults=values)[0]


def text_for(person: User) -> str:
    """As the model reads it; empty where there is none."""
    own = stored(person)
    parts = [("About the person who writes to you:", own.about), ("How they want to be answered:", own.manner)]
    return "\n\n".join(f"{head}\n{text}" for head, text in parts if text)


def applied(conversation: Conversation) -> str:
    """Those that stand before the conversation's next reply."""
    return text_for(conversation.owner) if conversation.uses_instructions else ""


def switch(conversation: Conversation, *, is_on: bool) -> None:
    """Applies from the next reply on."""
    conversation.uses_instructions = is_on
    conversation.save(update_fields=["uses_instructions"])
