"""Tasks kept in stock: enough, of the live policy, of texts whose owners agreed."""

import random

import pytest

from accounts.roles import Role
from chat.completions.bulk import Completed
from chat.errors import EngineDown
from chat.models import Message, Policy, Reply
from feedback import prompts
from feedback.judgements import task_queue, task_stock
from feedback.models import Prompt, RankingTask, Skip
from feedback.tasks import stock_tasks
from tests.feedback.conftest import make_task, talk


def states():
    return sorted(RankingTask.objects.values_list("state", flat=True))


def test_the_stock_is_filled_once(seeds, policy, speech, settings):
    settings.FEEDBACK_TASK_STOCK = 5
    assert stock_tasks() == 5
    assert stock_tasks() == 0
    assert len(speech) == 1
    call = speech[0]
    assert (call["policy"], call["n"], len(call["prompts"])) == (policy, settings.FEEDBACK_COMPLETIONS_PER_TASK, 5)
    assert call["parameters"].max_completion_tokens == settings.FEEDBACK_COMPLETION_TOKENS
    task = RankingTask.objects.first()
    assert (task.policy, task.state, task.completions.count()) == (policy, "open", 4)
    assert RankingTask.objects.values("prompt").distinct().count() == 5


def test_what_is_leased_or_skipped_is_replaced(seeds, policy, speech, settings, annotator):
    settings.FEEDBACK_TASK_STOCK = 2
    stock_tasks()
    task = task_queue.next_task(annotator)
    assert stock_tasks() == 1
    task_queue.skip(task.pk, annotator, Skip.Reason.OTHER)
    assert stock_tasks() == 0
    task_queue.next_task(annotator)
    assert stock_tasks() == 1


def test_without_a_policy_or_engine_nothing_is_made(seeds, settings, monkeypatch, caplog):
    assert stock_tasks() == 0
    Policy.objects.create(name="scripted", version=1, is_live=True, is_scripted=True)

    def down(*args, **kwargs):
        raise EngineDown("gone")

    monkeypatch.setattr(task_stock, "complete", down)
    assert stock_tasks() == 0
    assert "no ranking tasks made" in caplog.text
    assert not RankingTask.objects.exists()


def test_open_tasks_of_a_former_policy_are_withdrawn(seeds, policy, speech, settings, annotator):
    settings.FEEDBACK_TASK_STOCK = 2
    stock_tasks()
    held = task_queue.next_task(annotator)
    Policy.objects.update(is_live=False)
    Policy.objects.create(name="newer", version=2, is_live=True, is_scripted=True)
    assert stock_tasks() == 2
    assert states() == ["leased", "open", "open", "withdrawn"]
    held.refresh_from_db()
    assert held.state == "leased"


def test_prompts_come_from_consenting_conversations_first(seeds, policy, speech, settings, person):
    settings.FEEDBACK_TASK_STOCK = 3
    carl, dora = person("carl"), person("dora")
    wanted = talk(carl, "May I?", "Yes.", "Really?", "Yes.")
    talk(dora, "Never use this", "Fine.", may_train=False)
    assert stock_tasks() == 3
    made = Prompt.objects.filter(source="conversation").order_by("message_id")
    assert [prompt.message for prompt in made] == [wanted[0], wanted[2]]
    assert made[1].messages == [
        {"role": "user", "content": "May I?"},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "Really?"},
    ]
    assert RankingTask.objects.filter(prompt__source="conversation").count() == 2
    assert not any("Never" in str(call["prompts"]) for call in speech)


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


def test_consent_taken_back_withdraws_waiting_tasks(seeds, policy, speech, settings, person, annotator):
    settings.FEEDBACK_TASK_STOCK = 1
    asked = talk(person("carl"), "May I?", "Yes.")[0]
    stock_tasks()
    assert task_queue.next_task(annotator).prompt.message == asked
    asked.conversation.may_train = False
    asked.conversation.save()
    assert task_queue.next_task(annotator) is None
    stock_tasks()
    assert states() == ["open", "withdrawn"]
    assert task_queue.next_task(person("bob", Role.ANNOTATOR)).prompt.source == "seed"


def test_a_prompt_keeps_its_side_and_a_fifth_is_held_out():
    sides = [prompts.side(prompts.digest([{"role": "user", "content": str(n)}])) for n in range(2000)]
    assert sides == [prompts.side(prompts.digest([{"role": "user", "content": str(n)}])) for n in range(2000)]
    assert 0.16 < sides.count("held_out") / len(sides) < 0.24


def test_only_languages_of_the_site_are_asked(seeds, policy, settings):
    assert {prompt.language for prompt in task_stock.next_prompts(500)} == {"en"}
    settings.FEEDBACK_LANGUAGES = ["ko"]
    assert {prompt.language for prompt in task_stock.next_prompts(500)} == {"ko"}


def test_prompts_that_were_judged_less_come_first(seeds, policy):
    judged = Prompt.objects.filter(language="en").first()
    make_task(policy, judged.messages[-1]["content"], state="done")
    total = Prompt.objects.filter(language="en").count()
    assert task_stock.next_prompts(total)[-1] == judged


@pytest.mark.parametrize("share", [0, 0.1, 1])
def test_a_share_of_tasks_has_one_reply_cut_short(share):
    whole = Completed("one two three four five six seven", "length", 5, 7)
    sets = task_stock.with_short_replies([[whole] * 4 for _ in range(50)], share, random.Random(1))
    cut = [[reply for reply in replies if isinstance(reply, task_stock.Cut)] for replies in sets]
    assert sum(map(bool, cut)) == share * 50
    assert all(len(of_set) <= 1 for of_set in cut)
    shortened = [reply for of_set in cut for reply in of_set]
    for reply in shortened:
        assert reply.finish_reason == "stop"
        assert whole.text.startswith(reply.text)
        assert len(reply.text.split()) <= task_stock.MOST_WORDS_OF_A_CUT
    if share == 1:
        assert {len(reply.text.split()) for reply in shortened} == {0, 1, 2, 3, 4}
