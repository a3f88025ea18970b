"""Tasks kept in stock: enough, of the live policy, of texts whose owners agreed, made one by one by one process."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.roles import Role
from chat.completions.bulk import Completed
from chat.completions.giving_way import NotWanted
from chat.errors import EngineDown, EngineTimeout
from chat.models import Policy, Reply
from chat.queue import people
from feedback.judgements import completion_sets, refill_lease, task_queue, task_stock
from feedback.models import Prompt, RankingTask, Skip, TaskRefill
from feedback.prompts import as_answered
from feedback.tasks import stock_tasks
from tests.feedback.conversation_rows import talk
from tests.feedback.ranking_tasks import make_task, take_task


def states():
    return sorted(RankingTask.objects.values_list("state", flat=True))


def test_the_stock_is_filled_once(seeds, policy, speech, settings):
    settings.FEEDBACK_TASK_STOCK = 5
    assert stock_tasks() == 5
    assert stock_tasks() == 0
    assert len(speech) == 5
    call = speech[0]
    assert (call["policy"], call["n"], len(call["prompts"])) == (policy, settings.FEEDBACK_COMPLETIONS_PER_TASK, 1)
    assert call["parameters"].max_completion_tokens == settings.FEEDBACK_COMPLETION_TOKENS
    task = RankingTask.objects.first()
    assert (task.policy, task.state, task.completions.count()) == (policy, "open", 4)
    assert RankingTask.objects.values("prompt").distinct().count() == 5


def test_what_is_leased_or_skipped_is_replaced(seeds, policy, speech, settings, annotator):
    settings.FEEDBACK_TASK_STOCK = 2
    stock_tasks()
    task = take_task(annotator)
    assert stock_tasks() == 1
    task_queue.skip(task.pk, annotator, Skip.Reason.OTHER)
    assert stock_tasks() == 0
    take_task(annotator)
    assert stock_tasks() == 1


def test_without_a_policy_or_engine_nothing_is_made(seeds, settings, monkeypatch, caplog):
    assert stock_tasks() == 0
    Policy.objects.create(name="scripted", version=1, is_live=True, is_scripted=True)

    def down(*args, **kwargs):
        raise EngineDown("gone")

    monkeypatch.setattr(task_stock, "complete_each", down)
    assert stock_tasks() == 0
    assert "no ranking tasks made" in caplog.text
    assert not RankingTask.objects.exists()


def test_open_tasks_of_a_former_policy_are_withdrawn(seeds, policy, speech, settings, annotator):
    settings.FEEDBACK_TASK_STOCK = 2
    stock_tasks()
    held = take_task(annotator)
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


def test_consent_taken_back_withdraws_waiting_tasks(seeds, policy, speech, settings, person, annotator):
    settings.FEEDBACK_TASK_STOCK = 1
    asked = talk(person("carl"), "May I?", "Yes.")[0]
    stock_tasks()
    assert take_task(annotator).prompt.message == asked
    asked.conversation.may_train = False
    asked.conversation.save()
    assert take_task(annotator) is None
    stock_tasks()
    assert states() == ["open", "withdrawn"]
    assert take_task(person("bob", Role.ANNOTATOR)).prompt.source == "seed"


def test_only_languages_of_the_site_are_asked(seeds, policy, settings):
    assert {prompt.language for prompt in task_stock.candidates()} == {"en"}
    settings.FEEDBACK_LANGUAGES = ["ko"]
    assert {prompt.language for prompt in task_stock.candidates()} == {"ko"}


def test_prompts_that_were_judged_less_come_first(seeds, policy):
    judged = Prompt.objects.filter(language="en").first()
    make_task(policy, judged.messages[-1]["content"], state="done")
    assert list(task_stock.candidates())[-1] == judged


# --- one after the other, by one process ---------------------------------------------------------------------------


def answers(monkeypatch, *sets):
    """Each call gives the next of the sets: texts, of which those with … are cut, or an error to raise."""
    following = iter(sets)

    def complete_each(policy, prompts, *, n, look, **_):
        look()
        found = next(following)
        if isinstance(found, Exception):
            raise found
        yield 0, [Completed(text.rstrip("…"), "length" if "…" in text else "stop", 9, 9) for text in found[:n]]

    monkeypatch.setattr(task_stock, "complete_each", complete_each)


def test_tasks_that_were_made_before_the_engine_failed_stay(seeds, policy, settings, monkeypatch):
    settings.FEEDBACK_TASK_STOCK = 5
    answers(monkeypatch, ["a", "b", "c", "d"], ["e", "f", "g", "h"], EngineTimeout("slow"))
    assert stock_tasks() == 0
    assert states() == ["open", "open"]
    assert refill_lease.current() is None


def test_two_processes_make_no_task_twice(seeds, policy, speech, settings):
    settings.FEEDBACK_TASK_STOCK = 3
    with refill_lease.held() as lease:
        assert lease is not None
        assert stock_tasks() == 0
    assert stock_tasks() == 3


def test_a_killed_process_keeps_others_out_for_as_long_as_its_lease(seeds, policy, speech, settings):
    settings.FEEDBACK_TASK_STOCK = 1
    killed = TaskRefill.objects.create(owner="killed", lease_until=timezone.now() + timedelta(seconds=1))
    assert stock_tasks() == 0
    TaskRefill.objects.filter(pk=killed.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert stock_tasks() == 1


def test_whoever_lost_the_lease_meanwhile_stores_nothing(seeds, policy, settings, monkeypatch):
    settings.FEEDBACK_TASK_STOCK = 2

    def taken_over(policy, prompts, **_):
        TaskRefill.objects.update(owner="another", lease_until=timezone.now() + timedelta(seconds=30))
        yield 0, [Completed(text, "stop", 9, 9) for text in "abcd"]

    monkeypatch.setattr(task_stock, "complete_each", taken_over)
    assert stock_tasks() == 0
    assert not RankingTask.objects.exists()
    assert refill_lease.current().owner == "another"


def test_the_stock_is_never_overfull_even_if_somebody_else_filled_it_meanwhile(seeds, policy, settings, monkeypatch):
    settings.FEEDBACK_TASK_STOCK = 1

    def slow(policy, prompts, **_):
        make_task(policy, "Made by another process")
        yield 0, [Completed(text, "stop", 9, 9) for text in "abcd"]

    monkeypatch.setattr(task_stock, "complete_each", slow)
    assert stock_tasks() == 0
    assert RankingTask.objects.count() == 1


def test_completions_of_a_policy_that_is_no_longer_live_are_dropped(seeds, policy, settings, monkeypatch):
    settings.FEEDBACK_TASK_STOCK = 1

    def replaced(policy, prompts, **_):
        Policy.objects.update(is_live=False)
        Policy.objects.create(name="newer", version=2, is_live=True, is_scripted=True)
        yield 0, [Completed(text, "stop", 9, 9) for text in "abcd"]

    monkeypatch.setattr(task_stock, "complete_each", replaced)
    assert stock_tasks() == 0
    assert not RankingTask.objects.exists()


# --- people first --------------------------------------------------------------------------------------------------


def test_nothing_is_made_until_nobody_was_served_for_some_seconds(seeds, policy, speech, settings, person):
    settings.FEEDBACK_TASK_STOCK = 1
    answered = talk(person("carl"), "Hello", "Hi.", may_train=False)[1].reply
    now = timezone.now()
    for changes in (
        {"state": "queued"},
        {"state": "streaming", "lease_until": now + timedelta(seconds=20)},
        {"state": "complete", "ended_at": now},
    ):
        Reply.objects.filter(pk=answered.pk).update(**changes)
        assert stock_tasks() == 0
    Reply.objects.filter(pk=answered.pk).update(ended_at=now - timedelta(seconds=task_stock.IDLE_S + 1))
    assert stock_tasks() == 1


def test_work_that_people_keep_waiting_for_long_is_given_up(monkeypatch, db):
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    with refill_lease.held() as lease:
        monkeypatch.setattr(people, "room_for_bulk", lambda: 1)
        assert lease.look() == 1
        monkeypatch.setattr(people, "room_for_bulk", lambda: 0)
        clock[0] = refill_lease.PATIENCE_S - 1
        assert lease.look() == 0
        clock[0] = refill_lease.PATIENCE_S + 1
        with pytest.raises(NotWanted):
            lease.look()


def test_the_lease_is_renewed_and_tells_how_far_the_task_is(db):
    with refill_lease.held() as lease:
        lease.begin(1, 4)
        lease.note(2, 3)
        lease.look()
        row = refill_lease.current()
        assert (row.done, row.wanted) == (3, 4)
        TaskRefill.objects.update(owner="another")
        lease.note(3, 3)
        with pytest.raises(NotWanted):
            lease.look()


# --- what is in a task ---------------------------------------------------------------------------------------------


def test_about_a_fifth_of_the_tasks_is_held_out(seeds, policy, speech, settings):
    settings.FEEDBACK_TASK_STOCK = 20
    stock_tasks()
    splits = list(RankingTask.objects.order_by("pk").values_list("prompt__split", flat=True))
    assert splits.count("held_out") == 4
    assert splits[:8].count("held_out") <= 2


def test_the_other_split_serves_where_one_is_used_up(seeds, policy, speech, settings):
    settings.FEEDBACK_TASK_STOCK = 3
    Prompt.objects.filter(split="train").delete()
    assert stock_tasks() == 3


def test_completions_that_are_alike_are_replaced_by_others(seeds, policy, settings, monkeypatch):
    settings.FEEDBACK_TASK_STOCK = 1
    monkeypatch.setattr(completion_sets, "SHORT_SHARE", 0)
    answers(monkeypatch, ["a", "b", " a\n", "a"], ["b", "c"], ["d"])
    assert stock_tasks() == 1
    texts = RankingTask.objects.get().completions.values_list("text", flat=True)
    assert len(texts) == 4


def test_what_stays_alike_is_merged_and_nothing_is_made_of_a_single_text(seeds, policy, settings, monkeypatch):
    settings.FEEDBACK_TASK_STOCK = 1
    monkeypatch.setattr(completion_sets, "SHORT_SHARE", 0)
    answers(monkeypatch, ["a"] * 4, ["a"] * 3, ["a"] * 3, ["a", "b", "a", "b"], ["a", "b"], ["a", "b"])
    assert stock_tasks() == 1
    assert list(RankingTask.objects.get().completions.values_list("text", flat=True)) == ["a", "b"]


def endings():
    return sorted(RankingTask.objects.get().completions.values_list("text", "finish_reason"))


def test_a_completion_that_was_cut_is_replaced_by_one_that_ended(seeds, policy, settings, monkeypatch):
    settings.FEEDBACK_TASK_STOCK = 1
    monkeypatch.setattr(completion_sets, "SHORT_SHARE", 0)
    answers(monkeypatch, ["a…", "b", "c…", "d"], ["e", "f…"], ["g"])
    assert stock_tasks() == 1
    assert endings() == [("b", "stop"), ("d", "stop"), ("e", "stop"), ("g", "stop")]


def test_where_no_other_ends_there_are_fewer_and_it_is_counted(seeds, policy, settings, monkeypatch):
    settings.FEEDBACK_TASK_STOCK = 1
    monkeypatch.setattr(completion_sets, "SHORT_SHARE", 0)
    answers(monkeypatch, ["a…", "b", "c", "d"], ["e…"], ["f…"])
    assert stock_tasks() == 1
    assert endings() == [("b", "stop"), ("c", "stop"), ("d", "stop")]
    assert {row.parameters["left_out"] for row in RankingTask.objects.get().completions.all()} == {3}


def test_of_a_policy_that_never_ends_nothing_is_ranked(seeds, policy, settings, monkeypatch, caplog):
    settings.FEEDBACK_TASK_STOCK = 1
    answers(monkeypatch, *[["a…", "b…", "c…", "d…"]] * 100)
    assert stock_tasks() == 0
    assert "or cut" in caplog.text


def test_fragments_are_ranked_where_the_site_says_so(seeds, policy, settings, monkeypatch):
    settings.FEEDBACK_TASK_STOCK, settings.FEEDBACK_FRAGMENTS = 1, True
    monkeypatch.setattr(completion_sets, "SHORT_SHARE", 0)
    answers(monkeypatch, ["a…", "b", "c", "d"])
    assert stock_tasks() == 1
    assert endings() == [("a", "length"), ("b", "stop"), ("c", "stop"), ("d", "stop")]


def test_the_policy_reads_the_site_s_instructions_and_the_annotator_reads_what_it_read(
    seeds, policy, settings, speech, annotator, signed_in
):
    settings.FEEDBACK_TASK_STOCK, settings.CHAT_SYSTEM_PROMPT = 1, "Answer in one sentence."
    assert stock_tasks() == 1
    (made,) = speech
    system = {"role": "system", "content": "Answer in one sentence."}
    assert [prompt[0] for prompt in made["prompts"]] == [system]
    settings.CHAT_SYSTEM_PROMPT = "Answer at length."
    task = RankingTask.objects.get()
    assert as_answered(task) == [system, *task.prompt.messages]
    shown = signed_in(annotator).get("/rank/").content.decode()
    assert "Answer in one sentence." in shown
    assert "Answer at length." not in shown


def test_a_policy_that_always_says_the_same_does_not_keep_the_worker(seeds, policy, settings, monkeypatch, caplog):
    settings.FEEDBACK_TASK_STOCK = 1
    answers(monkeypatch, *[["a"] * 4] * 100)
    assert stock_tasks() == 0
    assert "were all alike" in caplog.text


def test_a_prompt_that_the_context_no_longer_holds_is_passed_over(seeds, policy, speech, settings):
    settings.FEEDBACK_TASK_STOCK, settings.CHAT_CONTEXT_TOKENS, settings.FEEDBACK_COMPLETION_TOKENS = 1, 256, 100
    Prompt.objects.exclude(split="train").delete()
    long, *_others = Prompt.objects.filter(language="en")
    Prompt.objects.exclude(pk=long.pk).delete()
    turn = {"role": "user", "content": "word " * 60}
    long.messages = [
        turn,
        {"role": "assistant", "content": "Yes."},
        turn,
        {"role": "assistant", "content": "No."},
        turn,
    ]
    long.save()
    assert stock_tasks() == 0
    settings.CHAT_CONTEXT_TOKENS = 2048
    assert stock_tasks() == 1


def test_nobody_s_conversations_fill_more_than_half_of_the_stock(seeds, policy, speech, settings, person, annotator):
    settings.FEEDBACK_TASK_STOCK = 4
    talk(annotator, *[text for k in range(6) for text in (f"Question {k}?", "Yes.")])
    assert stock_tasks() == 4
    assert RankingTask.objects.filter(prompt__source="conversation").count() == 2
    assert take_task(annotator).prompt.source == "seed"
