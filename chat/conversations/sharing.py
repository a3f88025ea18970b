"""Read-only links to a conversation, which its owner creates and revokes; anybody with the address can read it."""

import secrets

from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import User
from chat.conversations.tree import tree_of
from chat.models import Conversation, Message, SharedLink

TOKEN_BYTES = 32
"""256 bits, which nobody can guess at any rate of requests."""


class NothingToShare(Exception):
    """A conversation without a message."""


def share(conversation: Conversation) -> SharedLink:
    """A link to the open path up to its last message now; the same link while that message is the last.

    Later messages are not in it. Raises NothingToShare.
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
    """Every working link of the person."""
    links = SharedLink.objects.filter(conversation__owner=person, conversation__deleted_at=None, revoked_at=None)
    return links.select_related("conversation")


def revoke(link: SharedLink) -> None:
    SharedLink.objects.filter(pk=link.pk, revoked_at=None).update(revoked_at=timezone.now())


def opened_by(token: str) -> SharedLink | None:
    """The link of that token if it works: not revoked, its conversation not deleted, its owner in good standing."""
    links = SharedLink.objects.filter(token=token, revoked_at=None, conversation__deleted_at=None)
    link = links.select_related("conversation__owner", "tip").first()
    return link if link is not None and _in_good_standing(link.conversation.owner) else None


def _in_good_standing(owner: User) -> bool:
    """Links of a suspended, closed or leaving account do not work."""
    return owner.is_active and not owner.is_suspended and owner.deletion_due_at is None


def shared_path(link: SharedLink) -> list[Message]:
    """The messages that the link shows, hidden ones among them: the page shows those without their text."""
    path = tree_of(link.conversation_id).path(link.tip_id)
    return list(Message.objects.filter(pk__in=path).select_related("reply").order_by("pk"))
