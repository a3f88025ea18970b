"""Closes the open sockets of a person who signed out or was suspended."""

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer

from accounts.models import User


def close(user: User) -> None:
    """Notifies every socket of the user. Layers drop messages by design: a socket also checks by itself."""
    layer = get_channel_layer()
    if layer is not None:
        async_to_sync(layer.group_send)(f"user.{user.pk}", {"type": "user.closed"})
