"""Assistants: who may use and change them, and what they mean for a reply."""

import asyncio

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.utils import timezone

from accounts.models import AuditEntry, User
from chat import assistants
from chat.conversations.turns import take_turn
from chat.engines.scripted import ScriptedEngine
from chat.errors import PolicyRetired
from chat.models import Assistant, Policy, Reply
from chat.prompts.history import turns_before, turns_seen
from tests.chat.talkers import talking

pytestmark = pytest.mark.django_db
EXAMPLE = {"user": "What is a rainbow?", "assistant": "Bent light."}


@pytest.fixture
def bob():
    return User.objects.create_user("bob", password="not the demo one")


@pytest.fixture
def admin():
    admin = User.objects.create_user("admin", password="not the demo one")
    admin.groups.add(Group.objects.get_or_create(name="admin")[0])
    return admin


def make(owner, **content):
    return Assistant.objects.create(owner=owner, **{"name": "Poet", "system_prompt": "Answer in rhymes.", **content})


# --- who may what -----------------------------------------------------------------------------------------------


def test_a_person_uses_their_own_and_shared_ones_alone(alice, bob, admin):
    mine, shared = make(alice), make(admin, is_shared=True)
    make(bob)
    make(alice, deleted_at=timezone.now())
    assert set(assistants.usable_by(alice)) == {mine, shared}


def test_what_is_shared_is_changed_by_admins_alone(alice, bob, admin):
    personal, shared = make(alice), make(alice, is_shared=True)
    assert [assistants.may_change(person, personal) for person in (alice, bob, admin)] == [True, False, False]
    assert [assistants.may_change(person, shared) for person in (alice, bob, admin)] == [False, False, True]


def test_changes_of_a_shared_one_are_in_the_audit_log_and_private_ones_are_not(alice, admin):
    personal = assistants.save(alice, Assistant(owner=alice), {"name": "Mine", "system_prompt": "A secret."})
    assistants.delete(alice, personal)
    assert not AuditEntry.objects.exists()
    shared = assistants.save(admin, Assistant(owner=admin), {"name": "Poet", "is_shared": True})
    assistants.save(admin, shared, {"name": "Poet", "system_prompt": "Rhyme."})
    assistants.save(admin, shared, {"name": "Poet"})
    assistants.delete(admin, shared)
    assistants.restore(admin, shared)
    entries = AuditEntry.objects.order_by("id")
    assert [entry.verb.partition(".")[2] for entry in entries] == ["create", "edit", "delete", "restore"]
    assert (entries[1].before, entries[1].after) == ({"system_prompt": ""}, {"system_prompt": "Rhyme."})


def test_the_end_of_sharing_has_its_entry(admin):
    shared = assistants.save(admin, Assistant(owner=admin), {"name": "Poet", "is_shared": True})
    assistants.save(admin, shared, {"is_shared": False})
    assert AuditEntry.objects.order_by("id").last().after == {"is_shared": False}


def test_a_copy_is_the_person_s_own_and_independent(alice, admin):
    shared = make(admin, is_shared=True, examples=[EXAMPLE], parameters={"temperature": 0.1})
    copy = assistants.duplicate(alice, shared, "My poet")
    assistants.save(admin, shared, {"system_prompt": "Changed."})
    copy.refresh_from_db()
    assert (copy.owner, copy.is_shared, copy.name) == (alice, False, "My poet")
    assert (copy.system_prompt, copy.examples, copy.parameters) == (
        "Answer in rhymes.",
        [EXAMPLE],
        {"temperature": 0.1},
    )


# --- what it means for a reply ----------------------------------------------------------------------------------


@pytest.fixture
def poet(alice, conversation, scripted_policy):
    poet = make(alice, examples=[EXAMPLE], parameters={"temperature": 0.0, "seed": 7})
    assistants.choose(conversation, poet)
    return poet


def test_instructions_and_examples_stand_before_what_is_said(conversation, poet):
    _message, reply = take_turn(conversation, "And the sun?", "k1", None)
    assert turns_before(reply.message) == [
        {"role": "system", "content": "Answer in rhymes."},
        {"role": "user", "content": "What is a rainbow?"},
        {"role": "assistant", "content": "Bent light."},
        {"role": "user", "content": "And the sun?"},
    ]


def test_a_reply_is_sampled_as_its_assistant_says_and_else_as_the_site_does(conversation, poet, settings):
    settings.CHAT_MAX_COMPLETION_TOKENS = 99
    _message, reply = take_turn(conversation, "And the sun?", "k1", None)
    assert reply.parameters["temperature"] == 0.0
    assert reply.parameters["seed"] == 7
    assert reply.parameters["max_completion_tokens"] == 99


def test_what_the_policy_saw_stays_as_it_was_when_the_assistant_changes(conversation, poet, alice):
    _message, reply = take_turn(conversation, "And the sun?", "k1", None)
    before = turns_before(reply.message)
    assistants.save(alice, poet, {"system_prompt": "Answer in prose.", "examples": []})
    reply = Reply.objects.get(pk=reply.pk)
    assert turns_before(reply.message) == turns_seen(reply.message) == before


def test_what_did_not_fit_was_not_seen(conversation, poet):
    _question, reply = take_turn(conversation, "One", "k1", None)
    Reply.objects.filter(pk=reply.pk).update(state=Reply.State.COMPLETE)
    reply.message.text = "Two"
    reply.message.save()
    _message, later = take_turn(conversation, "Three", "k2", reply.message_id)
    Reply.objects.filter(pk=later.pk).update(trimmed=2)
    seen = turns_seen(Reply.objects.get(pk=later.pk).message)
    assert [turn["content"] for turn in seen] == [
        "Answer in rhymes.",
        "What is a rainbow?",
        "Bent light.",
        "Three",
    ]


def test_another_assistant_counts_from_the_next_reply_on(conversation, poet, alice):
    _message, first = take_turn(conversation, "One", "k1", None)
    Reply.objects.filter(pk=first.pk).update(state=Reply.State.COMPLETE)
    assistants.choose(conversation, None)
    _message, second = take_turn(conversation, "Two", "k2", first.message_id)
    assert first.preamble
    assert second.preamble == []


@pytest.mark.parametrize("how", ["deleted", "no longer shared"])
def test_an_assistant_that_is_gone_no_longer_applies(how, conversation, alice, admin, scripted_policy):
    shared = make(admin, is_shared=True)
    assistants.choose(conversation, shared)
    if how == "deleted":
        assistants.delete(admin, shared)
    else:
        assistants.save(admin, shared, {"is_shared": False})
    assert assistants.applied(conversation) is None
    assert take_turn(conversation, "One", "k1", None)[1].preamble == []


def test_a_named_version_is_asked_for_by_name(conversation, alice, scripted_policy):
    named = Policy.objects.create(name="older", version=2, is_scripted=True)
    assistants.choose(conversation, make(alice, policy=named))
    assert take_turn(conversation, "One", "k1", None)[1].policy == named


def test_a_named_version_that_is_gone_is_said_and_nothing_is_stored(conversation, alice, scripted_policy):
    named = Policy.objects.create(name="older", version=2, is_scripted=True, retired_at=timezone.now())
    assistants.choose(conversation, make(alice, policy=named))
    with pytest.raises(PolicyRetired):
        take_turn(conversation, "One", "k1", None)
    assert not conversation.messages.exists()


def test_a_retired_version_cannot_be_named(alice, scripted_policy):
    Policy.objects.create(name="older", version=2, retired_at=timezone.now())
    assert list(assistants.named_policies(alice)) == [scripted_policy]


# --- through the talker -----------------------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch):
    """Prompts that the scripted engine was asked."""
    prompts, stream = [], ScriptedEngine.stream

    def listening(self, prompt, parameters):
        prompts.append(prompt)
        return stream(self, prompt, parameters)

    monkeypatch.setattr(ScriptedEngine, "stream", listening)
    return prompts


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_instructions_and_examples_stay_where_an_overlong_history_goes(
    alice, conversation, scripted_policy, asked, settings
):
    settings.CHAT_CONTEXT_TOKENS = 400
    poet = await sync_to_async(make)(alice, examples=[EXAMPLE])
    await sync_to_async(assistants.choose)(conversation, poet)
    before = await sync_to_async(long_history)(conversation, turns=20)
    async with talking():
        _message, reply = await sync_to_async(take_turn)(conversation, "The last one", "k1", before)
        while (await Reply.objects.aget(pk=reply.pk)).is_live:
            await asyncio.sleep(0.02)
    (prompt,) = asked
    assert [turn["content"] for turn in prompt.messages[:3]] == [
        "Answer in rhymes.",
        "What is a rainbow?",
        "Bent light.",
    ]
    assert prompt.messages[-1]["content"] == "The last one"
    assert 0 < len(prompt.messages) < 40
    reply = await Reply.objects.select_related("message").aget(pk=reply.pk)
    assert reply.trimmed == prompt.dropped == 44 - len(prompt.messages)
    assert await sync_to_async(turns_seen)(reply.message) == prompt.messages


def long_history(conversation, turns):
    """Questions and answers; the id of the last answer."""
    parent = None
    for number in range(turns):
        for role in ("user", "assistant"):
            parent = conversation.messages.create(role=role, parent=parent, text=f"{role} {number} " + "word " * 10)
    return parent.pk
