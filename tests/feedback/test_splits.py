"""A conversation, and those that begin with nearly the same words, stand on one side of the split for good."""

from importlib import import_module

import pytest
from django.apps import apps

from chat.models import Message, Reply
from feedback import prompts, seed, splits
from feedback.models import Opening, Prompt, PromptGroup, Violation
from feedback.splits import split_of_conversation
from tests.feedback.conversation_rows import talk
from tests.rlhf import feedback_rows


def side_of(owner, *turns):
    return split_of_conversation(talk(owner, *turns)[-1])


def test_the_share_is_a_setting_and_changes_move_nobody(person, settings):
    settings.FEEDBACK_HELD_OUT_SHARE = 0.9
    carl = person("carl")
    asked = [talk(carl, f"{number} {'abcdefghij'[number % 10] * 9}")[0] for number in range(80)]
    before = [split_of_conversation(message) for message in asked]
    assert 0.8 < before.count("held_out") / 80 < 1
    settings.FEEDBACK_HELD_OUT_SHARE = 0.0
    assert [split_of_conversation(message) for message in asked] == before
    assert side_of(carl, "Something else altogether") == "train"


def test_about_a_fifth_is_held_out_by_default(person):
    carl = person("carl")
    found = [side_of(carl, prompts.digest([{"role": "user", "content": str(number)}])) for number in range(300)]
    assert 0.14 < found.count("held_out") / 300 < 0.26


def test_every_turn_of_a_conversation_is_on_its_side(policy, person):
    for number, name in enumerate(("carl", "dora", "emil", "fay")):
        talk(person(name), f"{name} asks about {number}", "Yes.", "And why?", "So.", f"Thanks, {name}", "Welcome.")
    assert prompts.take_from_conversations(20, policy) == 12
    sides = set(Prompt.objects.values_list("message__conversation", "split"))
    assert len(sides) == 4
    assert PromptGroup.objects.count() == 4


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is a rainbow?", "what is a  RAINBOW"),
        ("Why do cats purr when they sleep?", "Why do cats purr when they sleep, please?"),
        ("무지개는 왜 생기나요?", "무지개는 왜생기나요"),
    ],
)
@pytest.mark.parametrize("split", ["train", "held_out"])
def test_a_conversation_joins_the_side_of_a_near_duplicate(person, settings, one, other, split):
    settings.FEEDBACK_HELD_OUT_SHARE = 0.9 if split == "held_out" else 0.0
    first = talk(person("carl"), one)[0]
    group = PromptGroup.objects.create(split=split)
    opening = Opening.objects.create(group=group, message=first, key=splits.sketch(one).key)
    splits._add_bands([opening], [splits.sketch(one)])
    settings.FEEDBACK_HELD_OUT_SHARE = 0.0 if split == "held_out" else 0.9
    assert side_of(person("dora"), other, "Yes.", "And then?") == split
    assert PromptGroup.objects.count() == 1


def test_a_conversation_that_repeats_a_seed_prompt_is_on_the_side_of_that(person, settings):
    seed.load()
    carl = person("carl")
    settings.FEEDBACK_HELD_OUT_SHARE = 0.0
    assert side_of(carl, "why is the sea salty") == "held_out"
    settings.FEEDBACK_HELD_OUT_SHARE = 0.9
    assert side_of(carl, "WHAT IS A RAINBOW") == "train"


def test_a_seed_prompt_takes_the_side_of_a_conversation_that_was_there_first(person, settings):
    settings.FEEDBACK_HELD_OUT_SHARE = 0.0
    assert side_of(person("carl"), "why is the sea salty") == "train"
    seed.load()
    sides = dict(Prompt.objects.filter(language="en").values_list("messages__0__content", "split"))
    assert (sides["Why is the sea salty?"], sides["Why do cats purr?"]) == ("train", "held_out")
    assert seed.load() == {"rules": 0, "prompts": 0}


def test_of_two_near_duplicates_on_different_sides_the_one_that_trains_is_joined(person):
    for name, split in (("carl", "held_out"), ("dora", "train")):
        message = talk(person(name), "Hello there")[0]
        opening = Opening.objects.create(
            group=PromptGroup.objects.create(split=split), message=message, key=splits.sketch(message.text).key
        )
        splits._add_bands([opening], [splits.sketch(message.text)])
    assert side_of(person("emil"), "hello there!") == "train"


def test_a_branch_with_another_first_message_stays_with_its_conversation(person):
    first = talk(person("carl"), "One question")[0]
    side = split_of_conversation(first)
    for number in range(8):
        edited = Message.objects.create(conversation=first.conversation, role="user", text=f"{number}" * 20)
        assert split_of_conversation(edited) == side
    assert PromptGroup.objects.count() == 1
    assert side_of(person("dora"), "5" * 20) == side  # and what repeats the branch joins it


def test_a_conversation_that_is_deleted_takes_its_hashes_along(person):
    first = talk(person("carl"), "One question")[0]
    split_of_conversation(first)
    first.conversation.delete()
    assert not Opening.objects.exists()


MIGRATION = import_module("feedback.migrations.0005_conversations_on_one_side")


def old_prompt(message, split, turns=None):
    turns = turns or [{"role": "user", "content": message.text}]
    sha256 = prompts.digest(turns)
    return Prompt.objects.create(messages=turns, sha256=sha256, source="conversation", message=message, split=split)


def test_the_migration_moves_no_row_and_new_turns_join_what_trains(person, settings):
    settings.FEEDBACK_HELD_OUT_SHARE = 0.9
    carl, dora, emil = (person(name) for name in ("carl", "dora", "emil"))
    both, held_out = talk(carl, "Why is the moon round?", "It is.", "And the sun?"), talk(dora, "Who sings at dawn?")
    rows = [old_prompt(both[0], "held_out"), old_prompt(both[2], "train"), old_prompt(held_out[0], "held_out")]
    MIGRATION.group_what_is_there(apps, None)
    assert [Prompt.objects.get(pk=row.pk).split for row in rows] == ["held_out", "train", "held_out"]
    assert split_of_conversation(both[2]) == "train"
    assert side_of(emil, "why is the moon round") == "train"
    settings.FEEDBACK_HELD_OUT_SHARE = 0.0
    assert side_of(emil, "who sings at dawn??") == split_of_conversation(held_out[0]) == "held_out"


def test_the_migration_keeps_flagged_conversations_on_the_side_that_the_hash_gave_them(policy, person, settings):
    """Earlier versions held out a context whose hash begins with a byte below 51."""
    carl = person("carl")
    asked = [f"{number} {'abcdefghij'[number % 10] * 9}" for number in range(40)]
    before = {text: prompts.digest([{"role": "user", "content": text}])[:2] < "33" for text in asked}
    assert 0 < sum(before.values()) < 40
    messages = {text: talk(carl, text, "Yes.") for text in asked}
    for _question, answer in messages.values():
        Violation.objects.create(message=answer, annotator=carl, rule_version=feedback_rows.rule())
    MIGRATION.group_what_is_there(apps, None)
    settings.FEEDBACK_HELD_OUT_SHARE = 0.5
    assert {text: split_of_conversation(found[1]) == "held_out" for text, found in messages.items()} == before


def test_the_migration_tells_an_assistants_examples_from_the_conversation(policy, person):
    asked, answered = talk(person("carl"), "May I?", "Yes.")
    preamble = [{"role": "system", "content": "Rhyme."}]
    Reply.objects.filter(message=answered).update(preamble=preamble)
    prompts.take_from_conversations(1, policy)
    assert Prompt.objects.get().preamble_turns == 1
    bare = old_prompt(asked, "train")
    Prompt.objects.update(preamble_turns=0)
    MIGRATION.count_preambles(apps, None)
    assert dict(Prompt.objects.values_list("pk", "preamble_turns")) == {bare.pk: 0, bare.pk - 1: 1}
