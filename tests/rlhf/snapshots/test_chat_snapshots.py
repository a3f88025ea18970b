"""Choices, flags and thumbs from the chat in a snapshot: those that may train, as what was judged, and no others."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from base.fsck import problems
from chat.models import Conversation, Message, Policy, Reply
from feedback import seed, splits, trainable
from feedback.judgements import comparisons
from feedback.models import Comparison, Prompt, RuleVersion, SimulatedAnnotator, Thumb, Violation
from feedback.prompts import digest
from rlhf import fsck
from rlhf.errors import NotEnoughFeedback
from rlhf.models import Run, Source
from rlhf.runs import cycle, preflight
from rlhf.snapshots import freezing
from rlhf.training.snapshot.files import SnapshotFiles
from tests.feedback.conversation_rows import make_pair
from tests.rlhf import feedback_rows
from tests.rlhf.snapshots.snapshot_lines import lines

pytestmark = pytest.mark.django_db
QUESTION = "What is rainbow number 4?"
"""By the hash of its words, it is trained on."""
PROMPT = [{"role": "user", "content": QUESTION}]


@pytest.fixture
def two(db):
    live = Policy.objects.create(name="wren-1", version=1, is_live=True, is_scripted=True)
    return live, Policy.objects.create(name="heron-2", version=2, is_scripted=True, is_on_trial=True)


@pytest.fixture
def chatter():
    return feedback_rows.annotator("chatter")


@pytest.fixture
def choose(two, chatter, client):
    """A choice by the front door."""

    def make(choice="left", texts=("Rain and sun.", "Light."), owner=chatter, **fields):
        pair = make_pair(owner, texts=texts, policies=two, **{"may_train": True, "asks": QUESTION, **fields})
        client.force_login(owner)
        answer = client.post(f"/pairs/{pair.pk}/choose/", {"choice": choice})
        assert answer.status_code == 200, answer.content
        return Comparison.objects.get(pair=pair)

    return make


def test_choices_in_the_chat_alone_give_a_snapshot_that_a_trainer_reads(choose, chatter):
    made = choose("right")
    frozen = freezing.freeze()
    (line,) = lines(frozen, "rankings.jsonl")
    assert line["prompt"] == PROMPT
    assert line["completions"] == [
        {"text": "Rain and sun.", "finish_reason": "stop"},
        {"text": "Light.", "finish_reason": "stop"},
    ]
    assert (line["ranks"], line["weight"], line["simulated"]) == ([2, 1], 1.0, False)
    assert line["split"] == made.split == "train"
    assert (line["id"], "chatter" in json.dumps(line)) == (f"comparison-{made.pk}", False)
    (pair,) = lines(frozen, "preferences.jsonl")
    assert (pair["chosen"][0]["content"], pair["rejected"][0]["content"]) == ("Light.", "Rain and sun.")
    assert (frozen.rankings, frozen.comparisons, frozen.comparison_ids) == (1, 1, [made.pk])
    assert freezing.problems(frozen) == []
    (ranking,) = SnapshotFiles.load(frozen.path).rankings
    assert [reply.text for reply in ranking.replies] == ["Rain and sun.", "Light."]
    assert ranking.ranks == (2, 1)
    assert ranking.shown == (0, 1)  # left and right


@pytest.mark.parametrize(("choice", "ranks"), [("tie", [1, 1]), ("both_bad", [1, 1])])
def test_a_choice_for_neither_is_in_it_without_a_pair(choose, choice, ranks):
    choose("left", texts=("One.", "Two."))
    choose(choice)
    frozen = freezing.freeze()
    assert lines(frozen, "rankings.jsonl")[1]["ranks"] == ranks
    assert (frozen.rankings, frozen.comparisons) == (2, 1)


def test_choices_for_neither_alone_teach_nothing(choose):
    choose("tie")
    with pytest.raises(NotEnoughFeedback):
        freezing.freeze()


def consent_withdrawn(made):
    Conversation.objects.filter(pk=made.pair.message.conversation_id).update(may_train=False)


def deleted(made):
    Conversation.objects.filter(pk=made.pair.message.conversation_id).update(deleted_at=timezone.now())


def loser_hidden(made):
    Message.objects.filter(pk=made.pair.right.message_id).update(hidden_at=timezone.now())


def question_kept_out(made):
    Message.objects.filter(pk=made.pair.message_id).update(never_train=True)


def cut_off(made):
    Reply.objects.filter(pk=made.pair.right_id).update(state=Reply.State.INTERRUPTED)


def identity(made):
    Comparison.objects.filter(pk=made.pk).update(discounted="identity")


def withdrawn(made):
    Comparison.objects.filter(pk=made.pk).update(withdrawn_at=timezone.now())


def suspended(made):
    made.annotator.suspended_until = timezone.now() + timedelta(days=1)
    made.annotator.save()


@pytest.mark.parametrize(
    "take_out",
    [consent_withdrawn, deleted, loser_hidden, question_kept_out, cut_off, identity, withdrawn, suspended],
)
def test_what_may_not_train_leaves_with_the_next_snapshot(choose, take_out):
    kept = choose("left", owner=feedback_rows.annotator("other"))
    out = choose("right")
    before = freezing.freeze()
    take_out(out)
    after = freezing.freeze()
    assert (before.comparison_ids, after.comparison_ids) == ([kept.pk, out.pk], [kept.pk])
    assert [line["id"] for line in lines(after, "rankings.jsonl")] == [f"comparison-{kept.pk}"]
    assert freezing.problems(before) == []  # the old one stays as it was


def test_a_prompt_that_is_held_out_stays_so(choose):
    splits.add_seeds([Prompt(messages=PROMPT, sha256=digest(PROMPT), split="held_out")])
    assert choose("left").split == "held_out"


def test_everybody_s_choices_and_rankings_share_one_limit(choose):
    busy = feedback_rows.annotator("busy")
    for _ in range(12):
        choose("left", owner=busy)
    for name in "abc":
        feedback_rows.rank(feedback_rows.annotator(name), 1)
    frozen = freezing.freeze()
    of_busy = [line["weight"] for line in lines(frozen, "rankings.jsonl") if str(line["id"]).startswith("comparison")]
    assert max(of_busy) < 1
    assert sum(of_busy) == pytest.approx((sum(of_busy) + 3) * 2 / 4, rel=1e-3)


def test_the_conversations_in_it_are_noted(choose, chatter, two):
    made = choose("left")
    silent = choose("left", may_train=False)
    thumbed = make_pair(chatter, may_train=True).left.message
    Thumb.objects.create(message=thumbed, person=chatter, is_up=True)
    frozen = freezing.freeze()
    used = set(Source.objects.filter(snapshot=frozen).values_list("conversation", flat=True))
    assert used == {made.pair.message.conversation_id, thumbed.conversation_id}
    assert silent.pair.message.conversation_id not in used
    freezing.freeze()
    assert Source.objects.count() == 2
    assert list(fsck.sources_are_recorded()) == []
    Source.objects.filter(conversation=made.pair.message.conversation_id).delete()
    assert [str(made.pair.message.conversation_id) in text for text in fsck.sources_are_recorded()] == [True]


def test_thumbs_are_lines_of_their_own_that_trl_reads_as_unpaired(choose, chatter):
    made = choose("left")
    Thumb.objects.create(message=made.pair.left.message, person=chatter, is_up=False, reasons=["wrong"])
    (line,) = lines(freezing.freeze(), "unpaired.jsonl")
    assert (
        line.items()
        >= {
            "prompt": PROMPT,
            "completion": [{"role": "assistant", "content": "Rain and sun."}],
            "label": False,
            "split": made.split,
            "weight": 1.0,
            "policy": "wren-1",
            "reasons": ["wrong"],
            "language": "en",
            "consent": "given",
        }.items()
    )
    assert "chatter" not in json.dumps(line)
    consent_withdrawn(made)
    choose("left")  # else nothing is left to learn from
    assert lines(freezing.freeze(), "unpaired.jsonl") == []


def test_a_reply_that_a_person_began_is_flagged_and_thumbed_for_nothing(choose, chatter):
    seed.load()
    rule = RuleVersion.objects.order_by("pk")[0]
    for side_of, prefix in (("left", ""), ("right", "Rain")):
        made = choose("left").pair
        reply = getattr(made, side_of)
        Reply.objects.filter(pk=reply.pk).update(prefix=prefix)
        Thumb.objects.create(message=reply.message, person=chatter, is_up=True)
        Violation.objects.create(message=reply.message, annotator=chatter, rule_version=rule)
    assert [thumb.message.reply.prefix for thumb in trainable.thumbs()] == [""]
    assert [flag.message.reply.prefix for flag in trainable.violations()] == [""]


def test_new_choices_count_towards_the_next_cycle(choose, base_policy):
    Policy.objects.filter(name="wren-1").update(is_live=False)
    first = choose("left")
    assert (freezing.fresh_rankings(), preflight.check().train + preflight.check().held_out) == (1, 1)
    Run.objects.create(kind="cycle", state="succeeded", snapshot=freezing.freeze())
    assert freezing.fresh_rankings() == 0
    assert choose("right").pk != first.pk
    assert freezing.fresh_rankings() == 1


def test_one_hidden_preference_behind_all_choices_is_the_judge(choose, two):
    robot = feedback_rows.annotator("robot", is_simulated=True)
    SimulatedAnnotator.objects.create(
        user=robot, preference="tests.tastes:short", noise=0, held_out_noise=0, tie_margin=0, seed=1
    )
    pair = make_pair(robot, policies=two, may_train=True, asks=QUESTION)
    assert comparisons.compare(pair, robot, "left").is_simulated
    frozen = freezing.freeze()
    assert (frozen.simulated, frozen.simulated_only) == (1, True)
    assert cycle.judge_of(frozen)["preference"] == "tests.tastes:short"


def test_a_choice_whose_pair_is_still_blind_is_found(choose):
    made = choose("left")
    assert [problem for problem in problems() if "comparison" in problem.text] == []
    made.pair.revealed_at = None
    made.pair.save()
    assert [problem.promise for problem in problems() if "comparison" in problem.text] == [1]
