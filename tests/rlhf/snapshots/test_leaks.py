"""No held-out line of a snapshot has a beginning, a near-duplicate or its conversation among what is trained on."""

import random
import unicodedata

import pytest
from django.db import transaction
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat.models import Conversation, Message, Pair, Policy, Reply
from feedback import prompts, splits
from feedback.judgements import comparisons
from feedback.models import Comparison, Completion, Prompt, PromptGroup, Ranking, RankingTask, Thumb, Violation
from rlhf.models import Run
from rlhf.snapshots import freezing
from tests.feedback.conversation_rows import make_pair, talk
from tests.rlhf import feedback_rows
from tests.rlhf.snapshots.snapshot_lines import lines

pytestmark = pytest.mark.django_db
FILES = ("rankings.jsonl", "preferences.jsonl", "unpaired.jsonl", "violations.jsonl", "prompts.jsonl")
TURNS = (
    "What is a rainbow?",
    "what is a  RAINBOW",
    "무지개는 왜 생기나요?",
    "무지개는 왜생기나요",
    "How do bees make honey in winter?",
    "Thanks!",
    "thanks",
)


def plain(turns):
    """Written apart from the code under test."""
    texts = (unicodedata.normalize("NFKC", f"{turn['role']} {turn['content']}").lower() for turn in turns)
    return tuple("".join(letter for letter in text if letter.isalnum()) for text in texts)


def leaking(snapshot):
    """(held out, trained on) of which one begins with the other."""
    rows = [line for name in FILES for line in lines(snapshot, name)]
    trained = {plain(line["prompt"]) for line in rows if line["split"] == "train"}
    held_out = {plain(line["prompt"]) for line in rows if line["split"] == "held_out"}
    return [(one, other) for one in held_out for other in trained if one[: len(other)] == other[: len(one)]]


def rank(prompt, person):
    task = RankingTask.objects.create(prompt=prompt, policy=feedback_rows.any_policy(), state="done")
    made = [Completion.objects.create(task=task, index=index, text=text) for index, text in enumerate(("yes", "no"))]
    return Ranking.objects.create(task=task, annotator=person, ranks={str(made[0].pk): 1, str(made[1].pk): 2})


conversations = st.lists(st.lists(st.sampled_from(TURNS), min_size=1, max_size=3), min_size=1, max_size=5)


def judge_everything(asked, person, chance):
    """Thumbs, flags, choices and rankings on conversations of one or more turns."""
    for turns in asked:
        written = [text for turn in turns for text in (turn, f"Reply to {turn}")]
        messages = talk(person, *written, policy=feedback_rows.any_policy())
        for message in messages[1::2]:
            if chance.random() < 0.5:
                Thumb.objects.create(message=message, person=person, is_up=True)
            if chance.random() < 0.5:
                Violation.objects.create(message=message, annotator=person, rule_version=feedback_rows.rule())
        if chance.random() < 0.5:
            choose_at_the_end(messages[-2], messages[-1], person)
    prompts.take_from_conversations(100, feedback_rows.any_policy())
    for prompt in Prompt.objects.filter(source="conversation"):
        rank(prompt, person)


def choose_at_the_end(question, left, person):
    other = Message.objects.create(
        conversation=question.conversation, parent=question, role="assistant", text="Another reply"
    )
    right = Reply.objects.create(message=other, state="complete", policy=feedback_rows.any_policy())
    pair = Pair.objects.create(message=question, left=left.reply, right=right)
    comparisons.compare(pair, person, "left")


@given(conversations, st.booleans(), st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_beginning_of_a_held_out_context_is_trained_on(asked, is_old, chance: random.Random):
    with transaction.atomic(), override_settings(FEEDBACK_HELD_OUT_SHARE=0.5):
        person = feedback_rows.annotator("ann")
        feedback_rows.rank(person, 1)
        feedback_rows.rank(person, 1, split="held_out")
        judge_everything(asked, person, chance)
        if is_old:  # divided message by message, as before
            for model in (Prompt, Comparison):
                for row in model.objects.all():
                    model.objects.filter(pk=row.pk).update(split=chance.choice(["train", "held_out"]))
            Prompt.objects.filter(messages__0__content__startswith="What is a rainbow, number").update(split="train")
        made = freezing.freeze()
        assert leaking(made) == []
        assert one_side_a_conversation(made)
        transaction.set_rollback(True)


def one_side_a_conversation(snapshot):
    """By the ids of rankings and prompts, whose rows say where they come from."""
    sides = {}
    for line in lines(snapshot, "rankings.jsonl"):
        if str(line["id"]).startswith("comparison"):
            pair = Comparison.objects.get(pk=line["id"].removeprefix("comparison-")).pair
            conversation = pair.message.conversation_id
        else:
            message = Ranking.objects.get(pk=line["id"]).task.prompt.message
            conversation = message.conversation_id if message is not None else line["id"]
        sides.setdefault(conversation, set()).add(line["split"])
    return all(len(found) == 1 for found in sides.values())


def test_without_old_rows_nothing_has_to_be_left_out(ann, settings):
    settings.FEEDBACK_HELD_OUT_SHARE = 0.5
    feedback_rows.rank(ann, 1)
    judge_everything([TURNS[:3], TURNS[3:5], ["안녕하세요?", "Thanks!"], TURNS[4:6]], ann, random.Random(1))
    made = freezing.freeze()
    assert (made.left_out, leaking(made)) == (0, [])


def old_disagreeing_rows(ann):
    """A conversation whose first turn is held out and whose second one trains."""
    policy = feedback_rows.any_policy()
    talk(ann, "Why is the moon round?", "It is.", "And the sun?", "Too.", policy=policy)
    prompts.take_from_conversations(10, policy)
    first, second = Prompt.objects.filter(source="conversation").order_by("message")
    Prompt.objects.filter(pk=first.pk).update(split="held_out")
    Prompt.objects.filter(pk=second.pk).update(split="train")
    return rank(first, ann), rank(second, ann)


def test_what_old_rows_held_out_of_a_conversation_that_trains_is_left_out_and_counted(ann):
    feedback_rows.rank(ann, 1)
    feedback_rows.rank(ann, 1, split="held_out")
    held_out, trained = old_disagreeing_rows(ann)
    made = freezing.freeze()
    assert trained.pk in made.ranking_ids
    assert held_out.pk not in made.ranking_ids
    assert (made.left_out, made.rankings_left_out) == (2, [held_out.pk])  # its prompt and its ranking
    assert (made.held_out, leaking(made)) == (5, [])
    sides = dict(Prompt.objects.filter(source="conversation").values_list("messages__0__content", "split"))
    assert set(sides.values()) <= {"train", "held_out"}
    assert Prompt.objects.get(pk=held_out.task.prompt_id).split == "held_out"  # no row moves
    Run.objects.create(kind="cycle", state="succeeded", snapshot=made)
    assert freezing.fresh_rankings() == 0


def test_a_branch_that_begins_otherwise_is_still_of_a_conversation_that_trains(ann):
    feedback_rows.rank(ann, 1)
    first = talk(ann, "Why is the moon round?", "It is.")[0]
    edited = Message.objects.create(conversation=first.conversation, role="user", text="Who sings at dawn?")
    for message, split in ((first, "train"), (edited, "held_out")):
        turns = [{"role": "user", "content": message.text}]
        sha256 = prompts.digest(turns)
        Prompt.objects.create(messages=turns, sha256=sha256, source="conversation", message=message, split=split)
    made = freezing.freeze()
    assert made.left_out == 1
    assert {line["split"] for line in lines(made, "prompts.jsonl")} == {"train"}


@pytest.mark.parametrize(
    ("trained", "held_out"),
    [
        ("Tell me about the weather in Seoul in spring", "tell me about the weather in Seoul, in spring!"),
        ("김치를 맛있게 담그는 방법을 알려 주세요", "김치를 맛있게 담그는 방법을 알려주세요!"),
    ],
)
def test_a_held_out_near_duplicate_of_another_conversation_is_left_out(ann, trained, held_out):
    feedback_rows.rank(ann, 1)
    for text, split in ((trained, "train"), (held_out, "held_out")):
        message = talk(ann, text, "Yes.")[0]
        turns = [{"role": "user", "content": text}]
        Prompt.objects.create(
            messages=turns, sha256=prompts.digest(turns), source="conversation", message=message, split=split
        )
    made = freezing.freeze()
    assert made.left_out == 1
    assert [line["split"] for line in lines(made, "prompts.jsonl") if "eoul" in str(line) or "김치" in str(line)] == [
        "train"
    ]


def test_a_greeting_before_the_same_question_does_not_make_it_another(ann, settings):
    """Their openings differ, and so may their sides: the question is left out."""
    feedback_rows.rank(ann, 1)
    question = "How do bees make honey in winter?"
    for split, turns in (("train", ("Hi", "Hello.", question)), ("held_out", (question,))):
        settings.FEEDBACK_HELD_OUT_SHARE = 0.9 if split == "held_out" else 0.0
        message = talk(ann, *turns)[-1]
        context = [
            {"role": "assistant" if number % 2 else "user", "content": text} for number, text in enumerate(turns)
        ]
        sha256 = prompts.digest(context)
        Prompt.objects.create(messages=context, sha256=sha256, source="conversation", message=message, split=split)
    made = freezing.freeze()
    assert (made.left_out, {line["split"] for line in lines(made, "prompts.jsonl")}) == (1, {"train"})


def test_an_assistants_examples_do_not_make_its_conversations_alike(ann):
    feedback_rows.rank(ann, 1)
    examples = [
        {"role": "user", "content": "Translate into French: the long and winding road leads to your door."},
        {"role": "assistant", "content": "La route longue et sinueuse mène à ta porte."},
    ]
    for text, split in (("Good morning to all", "train"), ("Nobody sleeps", "held_out")):
        turns = [*examples, {"role": "user", "content": text}]
        Prompt.objects.create(messages=turns, preamble_turns=2, sha256=prompts.digest(turns), split=split)
    assert freezing.freeze().left_out == 0
    Prompt.objects.update(preamble_turns=0)
    assert freezing.freeze().left_out == 1


def test_thumbs_and_flags_are_on_the_side_of_their_conversation(ann, settings):
    feedback_rows.rank(ann, 1)
    settings.FEEDBACK_HELD_OUT_SHARE = 0.9
    messages = talk(ann, "Why is the sea salty?", "Rivers.", "Which ones?", "All.", policy=feedback_rows.any_policy())
    Thumb.objects.create(message=messages[1], person=ann, is_up=True)
    first = freezing.freeze()
    settings.FEEDBACK_HELD_OUT_SHARE = 0.0
    Violation.objects.create(message=messages[3], annotator=ann, rule_version=feedback_rows.rule())
    second = freezing.freeze()
    assert [line["split"] for line in lines(first, "unpaired.jsonl")] == ["held_out"]
    assert [line["split"] for line in lines(second, "violations.jsonl")] == ["held_out"]
    assert PromptGroup.objects.get().split == "held_out"


def test_a_choice_is_stored_with_the_side_of_its_conversation(ann, settings):
    policies = [Policy.objects.create(name=f"wren-{n}", version=n, is_scripted=True) for n in (1, 2)]
    settings.FEEDBACK_HELD_OUT_SHARE = 0.9
    pair = make_pair(ann, policies=policies, may_train=True, asks="Who sings at dawn?")
    side = splits.split_of_conversation(pair.message)
    settings.FEEDBACK_HELD_OUT_SHARE = 0.9 if side == "train" else 0.0
    assert comparisons.compare(pair, ann, "left").split == side
    assert Conversation.objects.count() == 1
