"""Prompts made from conversations: with consent, as the policy reads them, and each in its split."""

from chat.models import Message, Reply
from feedback import prompts
from feedback.models import Prompt
from tests.feedback.conversation_rows import talk


def test_hidden_kept_out_unanswered_and_deleted_turns_give_no_prompt(policy, person):
    first = talk(person("carl"), "One", "Yes.", "Two", "Yes.")
    Message.objects.filter(pk=first[1].pk).update(hidden_at="2026-01-01T00:00Z")
    second = talk(person("dora"), "Three", "Yes.", "Four")
    Message.objects.filter(pk=second[0].pk).update(never_train=True)
    third = talk(person("emil"), "Five", "Yes.")
    third[0].conversation.deleted_at = "2026-01-01T00:00Z"
    third[0].conversation.save()
    prompts.take_from_conversations(10, policy)
    assert [prompt.messages[-1]["content"] for prompt in Prompt.objects.all()] == ["One"]


def test_a_prompt_carries_the_instructions_and_examples_that_its_answer_had(policy, person):
    _asked, answered = talk(person("carl"), "May I?", "Yes.")
    preamble = [
        {"role": "system", "content": "Rhyme."},
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "Because the sky."},
    ]
    Reply.objects.filter(message=answered).update(preamble=preamble)
    prompts.take_from_conversations(10, policy)
    assert Prompt.objects.get().messages == [*preamble, {"role": "user", "content": "May I?"}]


def test_the_last_answer_says_which_instructions_a_prompt_has(policy, person):
    asked, _first = talk(person("carl"), "May I?", "Yes.")
    again = asked.children.create(conversation=asked.conversation, role="assistant", text="No.")
    preamble = [{"role": "system", "content": "Refuse."}]
    Reply.objects.create(message=again, state=Reply.State.COMPLETE, policy=policy, preamble=preamble)
    prompts.take_from_conversations(10, policy)
    assert Prompt.objects.get().messages == [*preamble, {"role": "user", "content": "May I?"}]


def test_a_prompt_is_stored_as_the_policy_will_read_it(policy, person, settings):
    settings.CHAT_CONTEXT_TOKENS = 300
    words = "many words " * 20
    messages = talk(person("carl"), words + "one", words, words + "two", words, "Last", "Yes.")
    Reply.objects.filter(message=messages[5]).update(preamble=[{"role": "system", "content": "Stay."}])
    prompts.take_from_conversations(1, policy)
    stored = Prompt.objects.get().messages
    assert [stored[0]["content"], stored[-1]["content"]] == ["Stay.", "Last"]
    assert 2 <= len(stored) < 6


def test_a_message_without_room_for_an_answer_is_no_prompt_and_stops_nobody_else(policy, person, settings):
    settings.CHAT_CONTEXT_TOKENS = 300
    talk(person("carl"), "Short", "Yes.")
    talk(person("dora"), "endless " * 400, "Yes.")
    prompts.take_from_conversations(10, policy)
    assert [prompt.messages[-1]["content"] for prompt in Prompt.objects.all()] == ["Short"]
