"""Closes the open sockets of a person who signed out or was suspended."""

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer

from accounts.models import User


def group_of(user_id: int) -> str:
    """The channel layer's group that all sockets of the user are in."""
    return f"user.{user_id}"


def close(user: User) -> None:
    """Notifies every socket of the user. Layers drop messages by design: a socket also checks by itself."""
    layer = get_channel_layer()
    if layer is not None:
        async_to_sync(layer.group_send)(group_of(user.pk), {"type": "user.closed"})
