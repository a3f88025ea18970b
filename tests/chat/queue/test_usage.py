"""What the chat page uses is written down once, whatever ended a reply, and counted by the model's own tokenizer."""

from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from chat import fsck
from chat.conversations.turns import regenerate, take_turn
from chat.errors import BudgetUsedUp
from chat.models import Conversation, Message, Policy, Reply
from chat.queue import claims, limits, reaping, replies, usage
from chat.queue.replies import Ending, NewChunk
from chat.websocket import frames
from metering.models import Budget, Price, Usage
from tests.chat.policies import install
from tests.chat.sockets import opened
from tests.chat.talkers import talking

TEXT = "A rainbow is 무지개 — light! "
State = Reply.State


@pytest.fixture
def tokenizer(tiny_policy):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_policy)


def started(owner, policy, prefix=""):
    room = Conversation.objects.create(owner=owner)
    message = Message.objects.create(conversation=room, role="user", text="Hi")
    reply = replies.queue(message, {}, prefix=prefix)
    assert [row.pk for row in claims.claim("me", policy, None, 1).replies] == [reply.pk]
    replies.note_prompt("me", reply.pk, 17, 0)
    return reply


def say(reply, *texts, first=1):
    replies.write("me", [NewChunk(reply.pk, first + place, text) for place, text in enumerate(texts)])


def ends(reply, how):
    pk = reply.pk
    if how == "stopped":
        replies.stop(pk, 2)
    elif how == "reaped":
        Reply.objects.filter(pk=pk).update(lease_until=timezone.now() - timedelta(seconds=1))
        reaping.reap()
    elif how == "abandoned":
        replies.abandon("me")
    elif how == "blocked":
        replies.end("me", Ending(pk, State.BLOCKED, blocked_by="no-cats", keep=1))
    else:
        replies.end("me", Ending(pk, State.COMPLETE, finish_reason="stop", completion_tokens=999))


@pytest.mark.django_db
@pytest.mark.parametrize("how", ["stopped", "reaped", "abandoned", "blocked", "complete"])
def test_every_ending_is_metered_once_by_the_text_that_is_kept(alice, tiny_live_policy, tokenizer, how):
    Price.objects.create(model="tiny-base", prompt=3, completion=5)
    reply = started(alice, tiny_live_policy)
    say(reply, TEXT, TEXT, "And more.")
    ends(reply, how)
    ends(reply, how)
    row = Reply.objects.select_related("message").get(pk=reply.pk)
    kept = {"stopped": 2 * TEXT, "blocked": TEXT}.get(how, 2 * TEXT + "And more.")
    assert row.message.text == kept
    tokens = len(tokenizer(kept, add_special_tokens=False).input_ids)
    used = Usage.objects.get()
    assert (used.ref, used.kind, used.user_id, used.model) == (f"reply:{row.pk}", "chat", alice.pk, "tiny-base")
    assert (used.prompt_tokens, used.completion_tokens) == (17, tokens) == (row.prompt_tokens, row.completion_tokens)
    assert used.cost == 17 * 3 + tokens * 5
    assert list(fsck.usage_is_written_down()) == []


@pytest.mark.django_db
def test_what_a_person_began_is_no_completion_of_the_model(alice, tiny_live_policy, tokenizer):
    reply = started(alice, tiny_live_policy, prefix="Well, ")
    say(reply, "yes.", first=2)
    ends(reply, "complete")
    assert Usage.objects.get().completion_tokens == len(tokenizer("yes.", add_special_tokens=False).input_ids)


@pytest.mark.django_db
def test_a_reply_that_no_engine_began_costs_nothing(alice, scripted_policy):
    room = Conversation.objects.create(owner=alice)
    message = Message.objects.create(conversation=room, role="user", text="Hi")
    reply = replies.queue(message, {}, policy=scripted_policy)
    replies.stop(reply.pk)
    assert not Usage.objects.exists()
    assert list(fsck.usage_is_written_down()) == []


@pytest.mark.django_db
def test_an_ended_reply_without_its_bill_is_found(alice, scripted_policy):
    reply = started(alice, scripted_policy)
    ends(reply, "complete")
    Usage.objects.all().delete()
    assert list(fsck.usage_is_written_down()) == [f"reply:{reply.pk} has ended, but its usage is not recorded"]


@pytest.mark.django_db
def test_a_model_without_a_price_costs_what_it_was_made_from(alice, scripted_policy):
    tuned = Policy.objects.create(
        name="ft-1", version=2, base=scripted_policy, label="davinci:ft-x", is_scripted=True
    )
    again = Policy.objects.create(name="ft-2", version=3, base=tuned, is_scripted=True)
    assert usage.names_of(again, ["alias"]) == ["ft-2", "alias", "ft-1", "davinci:ft-x", "scripted"]
    Price.objects.create(model="davinci:ft-x", completion=2)
    Price.objects.create(model="scripted", completion=1)
    reply = started(alice, again)
    say(reply, "one two")
    ends(reply, "complete")
    assert (Usage.objects.get().priced_as, Usage.objects.get().cost) == ("davinci:ft-x", 4)


@pytest.mark.django_db
def test_a_policy_whose_files_are_gone_is_metered_by_a_guess_and_the_reply_ends(alice, tiny_policy, settings):
    policy = install(tiny_policy, "tiny-gone", is_live=True)
    Policy.objects.filter(pk=policy.pk).update(directory="../elsewhere")
    policy.refresh_from_db()
    reply = started(alice, policy)
    say(reply, "abcdefg")
    ends(reply, "stopped")
    assert Reply.objects.get(pk=reply.pk).state == "stopped"
    assert Usage.objects.get().completion_tokens == 3


@pytest.mark.django_db
def test_who_has_spent_the_budget_gets_no_further_turn(alice, scripted_policy):
    room = Conversation.objects.create(owner=alice)
    message, reply = take_turn(room, "Hi", "k1", None)
    replies.stop(reply.pk)
    Usage.objects.create(ref="x", user=alice, kind="api", model="m", cost=10)
    Budget.objects.create(user=alice, period="day", limit=10)
    with pytest.raises(BudgetUsedUp) as refusal:
        take_turn(room, "More", "k2", None)
    assert 0 < refusal.value.retry_after_s <= 86400
    assert str(timezone.localtime().year) in str(refusal.value.message)
    assert "retry_after_s" not in frames.error(refusal.value) or refusal.value.retry_after_s <= 3600
    with pytest.raises(BudgetUsedUp):
        regenerate(room, message.pk, "k3")
    assert take_turn(room, "Hi", "k1", None)[0] == message, "what was taken already is told again"
    Budget.objects.update(limit=11)
    limits.check_budget(alice.pk)


@pytest.mark.django_db(transaction=True)
async def test_a_reply_through_the_talker_is_metered_with_the_prompt_that_was_sent(
    conversation, alice, tiny_policy, settings, tokenizer
):
    settings.CHAT_CONTEXT_TOKENS = settings.CHAT_MAX_COMPLETION_TOKENS = 512
    policy = await sync_to_async(install)(tiny_policy, "tiny-metered", is_live=True)
    async with talking(), opened(conversation, alice) as socket:
        await socket.say(type="message.send", text="What is a star?", key="k1", parent=None)
        done = (await socket.hear_until("reply.done", timeout=60))[-1]
    turns = [{"role": "user", "content": "What is a star?"}]
    prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    used = await Usage.objects.aget()
    assert used.prompt_tokens == len(tokenizer(prompt, add_special_tokens=False).input_ids)
    reply = await Reply.objects.aget(policy=policy)
    if reply.finish_reason == "stop":
        assert used.completion_tokens == len(tokenizer(done["text"], add_special_tokens=False).input_ids)
    else:
        assert used.completion_tokens == 512 - used.prompt_tokens
