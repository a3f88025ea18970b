"""Read-only links to a conversation: made and revoked by its owner, good for whoever has the address."""

import secrets

from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import User
from chat.conversations.tree import tree_of
from chat.models import Conversation, Message, SharedLink

TOKEN_BYTES = 32
"""256 bits: nobody guesses one, at whatever rate they ask."""


class NothingToShare(Exception):
    """A conversation without a message."""


def share(conversation: Conversation) -> SharedLink:
    """A link to the path that is open, as far as it goes now; the same one while it ends at the same message.

    What is said later is not in it. Raises NothingToShare.
    """
    path = tree_of(conversation.pk).open_path(conversation.tip_id)
    if not path:
        raise NothingToShare
    same = active_links(conversation).filter(tip=path[-1]).first()
    token = secrets.token_urlsafe(TOKEN_BYTES)
    return same or SharedLink.objects.create(conversation=conversation, tip_id=path[-1], token=token)


def active_links(conversation: Conversation) -> QuerySet[SharedLink]:
    return conversation.shared_links.filter(revoked_at=None)


def links_of(person: User) -> QuerySet[SharedLink]:
    """Every link of theirs that works."""
    links = SharedLink.objects.filter(conversation__owner=person, conversation__deleted_at=None, revoked_at=None)
    return links.select_related("conversation")


def revoke(link: SharedLink) -> None:
    SharedLink.objects.filter(pk=link.pk, revoked_at=None).update(revoked_at=timezone.now())


def opened_by(token: str) -> SharedLink | None:
    """The link of that address while it works: not revoked, the conversation kept, its owner in good standing."""
    links = SharedLink.objects.filter(token=token, revoked_at=None, conversation__deleted_at=None)
    link = links.select_related("conversation__owner", "tip").first()
    return link if link is not None and link.conversation.owner.is_in_good_standing else None


def shared_path(link: SharedLink) -> list[Message]:
    """The messages that the link shows, hidden ones among them: the page shows those without their text."""
    path = tree_of(link.conversation_id).path(link.tip_id)
    return list(Message.objects.filter(pk__in=path).select_related("reply").order_by("pk"))
