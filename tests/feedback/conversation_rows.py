"""Rows of conversations: turns one after the other, and two replies side by side."""

from chat.models import Conversation, Message, Pair, Reply
from tests.consenting import agree


def talk(owner, *turns, may_train=True, policy=None):
    """A conversation with these turns, user first; returns its messages."""
    conversation = Conversation.objects.create(owner=owner, may_train=may_train)
    if may_train:
        agree(owner)
    messages, parent = [], None
    for number, text in enumerate(turns):
        role = Message.Role.ASSISTANT if number % 2 else Message.Role.USER
        parent = Message.objects.create(conversation=conversation, parent=parent, role=role, text=text)
        if role == Message.Role.ASSISTANT:
            Reply.objects.create(message=parent, state=Reply.State.COMPLETE, policy=policy)
        messages.append(parent)
    return messages


def make_pair(owner, texts=("Rain and sun.", "Light."), policies=(None, None), state=Reply.State.COMPLETE, **fields):
    """A question with two replies to choose between."""
    asks = fields.pop("asks", "What is a rainbow?")
    conversation = Conversation.objects.create(owner=owner, **fields)
    if conversation.may_train:
        agree(owner)
    asked = Message.objects.create(conversation=conversation, role="user", text=asks)
    replies = []
    for text, policy in zip(texts, policies, strict=True):
        message = Message.objects.create(conversation=conversation, parent=asked, role="assistant", text=text)
        replies.append(Reply.objects.create(message=message, state=state, policy=policy, finish_reason="stop"))
    Conversation.objects.filter(pk=conversation.pk).update(tip=replies[0].message)
    return Pair.objects.create(message=asked, left=replies[0], right=replies[1])
