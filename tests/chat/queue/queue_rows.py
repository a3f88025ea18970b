"""Rows of a queue: an engine with its heartbeat, and a queued reply."""

from datetime import timedelta

from django.utils import timezone

from chat.models import Conversation, EngineProcess, Message
from chat.queue import replies


def engine(policy, state="ready", is_default=False, age_s=0):
    beaten = timezone.now() - timedelta(seconds=age_s)
    return EngineProcess.objects.create(policy=policy, state=state, is_default=is_default, heartbeat_at=beaten)


def queued(owner, policy=None):
    room = Conversation.objects.create(owner=owner)
    message = Message.objects.create(conversation=room, role="user", text="Hi")
    return replies.queue(message, {}, policy=policy)
