"""People of each role, a policy that answers canned text, and tasks without an engine."""

import pytest
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.test import Client

from accounts.models import User
from accounts.roles import GROUPS, Role
from chat.completions.bulk import Completed
from chat.models import Conversation, Message, Policy, Reply
from feedback import seed
from feedback.judgements import task_stock
from feedback.models import Completion, Prompt, RankingTask


@pytest.fixture(autouse=True)
def empty_cache():
    cache.clear()


def make_person(name, role=Role.CHATTER):
    user = User.objects.create_user(name, password="a long enough password")
    if role in GROUPS:
        user.groups.add(Group.objects.get_or_create(name=role.value)[0])
    return user


@pytest.fixture
def person(db):
    return make_person


@pytest.fixture
def annotator(db):
    return make_person("ann", Role.ANNOTATOR)


@pytest.fixture
def moderator(db):
    return make_person("mod", Role.MODERATOR)


@pytest.fixture
def admin(db):
    return make_person("boss", Role.ADMIN)


@pytest.fixture
def signed_in():
    def make(user, **headers):
        client = Client(headers=headers)
        client.force_login(user)
        return client

    return make


@pytest.fixture
def seeds(db):
    return seed.load()


@pytest.fixture
def policy(db):
    return Policy.objects.create(name="scripted", version=1, is_live=True, is_scripted=True)


def make_task(policy, text="What is a rainbow?", state="open", replies=4, **prompt):
    from feedback.prompts import digest

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


@pytest.fixture
def speech(monkeypatch):
    """Stands in for the engine; the calls made are noted. Text k of each prompt comes from `texts`."""
    calls = []
    texts = ["I love rainbows. They make me happy.", "A rainbow is light in drops of rain.", "It is", "My family"]

    def complete(policy, prompts, *, n, parameters, on_progress=None):
        calls.append({"policy": policy, "prompts": list(prompts), "n": n, "parameters": parameters})
        for done in range(len(prompts) * n if on_progress else 0):
            on_progress(done + 1, len(prompts) * n)
        return [
            [Completed(texts[k % len(texts)] + f" {i}.", "stop", 9, 9) for k in range(n)] for i in range(len(prompts))
        ]

    for module in (task_stock, __import__("feedback.simulated.simulation", fromlist=["complete"])):
        monkeypatch.setattr(module, "complete", complete)
    return calls
