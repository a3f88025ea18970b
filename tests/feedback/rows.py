"""Tasks and conversations that tests of feedback judge."""

from chat.models import Conversation, Message, Reply
from feedback.models import Completion, Prompt, RankingTask
from feedback.prompts import digest


def make_task(policy, text="What is a rainbow?", state="open", replies=4, **prompt):
    messages = [{"role": "user", "content": text}]
    row, _ = Prompt.objects.get_or_create(sha256=digest(messages), defaults={"messages": messages, **prompt})
    task = RankingTask.objects.create(prompt=row, policy=policy, state=state)
    Completion.objects.bulk_create(
        Completion(task=task, index=index, text=f"Reply number {index}.", finish_reason="stop")
        for index in range(replies)
    )
    return task


def talk(owner, *turns, may_train=True, policy=None):
    """A conversation with these turns, user first; returns its messages."""
    conversation = Conversation.objects.create(owner=owner, may_train=may_train)
    messages, parent = [], None
    for number, text in enumerate(turns):
        role = Message.Role.ASSISTANT if number % 2 else Message.Role.USER
        parent = Message.objects.create(conversation=conversation, parent=parent, role=role, text=text)
        if role == Message.Role.ASSISTANT:
            Reply.objects.create(message=parent, state=Reply.State.COMPLETE, policy=policy)
        messages.append(parent)
    return messages
