"""A snapshot holds exactly what may train, is the same for the same rows, and never changes."""

import json
import random
from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat.models import Conversation, Message, Reply
from feedback import shares
from feedback.models import Completion, Prompt, Ranking, RankingTask, Rule, Violation
from feedback.prompts import digest
from rlhf.errors import NotEnoughFeedback
from rlhf.models import Snapshot
from rlhf.snapshots import freezing
from rlhf.training.snapshot.files import SnapshotFiles
from tests.consenting import open_conversation
from tests.rlhf import feedback_rows
from tests.rlhf.snapshots.snapshot_lines import lines

pytestmark = pytest.mark.django_db


def ids(snapshot):
    return [line["id"] for line in lines(snapshot, "rankings.jsonl")]


def test_the_same_feedback_is_the_same_snapshot(ann):
    feedback_rows.plenty(ann, 5, 2)
    first = freezing.freeze()
    assert freezing.freeze() == first
    row = (first.sha256, first.directory)
    Snapshot.objects.all().delete()
    again = freezing.freeze()
    assert (again.sha256, again.directory) == row


def test_its_files_are_in_trls_formats(ann):
    ranking = feedback_rows.rank(ann, 1, ranks=(1, 2, 2, 3))
    feedback_rows.flag(ranking)
    feedback_rows.flag(ranking, index=0, is_violation=False)
    made = freezing.freeze()
    (line,) = lines(made, "rankings.jsonl")
    assert line["prompt"] == [{"role": "user", "content": "What is a rainbow, number 1?"}]
    assert (line["ranks"], line["split"], line["weight"], line["simulated"]) == ([1, 2, 2, 3], "train", 1.0, False)
    assert line["completions"][2] == {"text": "It is", "finish_reason": "stop"}
    preferences = lines(made, "preferences.jsonl")
    assert len(preferences) == made.comparisons == 5
    assert preferences[0]["chosen"] == [{"role": "assistant", "content": "A rainbow is light."}]
    assert {line["weight"] for line in preferences} == {1 / 6}  # of a pair in the loss: C(4, 2) share one ranking
    assert {line["margin"] for line in preferences} == {0.0}
    flags = lines(made, "violations.jsonl")
    assert [(flag["completion"]["text"], flag["rule"], flag["label"]) for flag in flags] == [
        ("I feel rainbows in my heart.", "human", 1),
        ("A rainbow is light.", "human", 0),
    ]
    assert json.loads((made.path / "rules.json").read_text()) == [
        {"key": "human", "name": "human", "text": "No human.", "group": "test"}
    ]


def test_names_are_not_in_it(ann):
    feedback_rows.rank(ann, 1)
    text = "".join(path.read_text() for path in freezing.freeze().path.iterdir())
    assert "ann" not in text.replace("annotator", "")


def withdrawn(ranking):
    Ranking.objects.filter(pk=ranking.pk).update(withdrawn_at=timezone.now())


def kept_out(ranking):
    Completion.objects.filter(task=ranking.task, index=0).update(never_train=True)


def hidden(ranking):
    Completion.objects.filter(task=ranking.task, index=3).update(hidden_at=timezone.now())


def suspended(ranking):
    ranking.annotator.suspended_until = timezone.now() + timedelta(days=1)
    ranking.annotator.save()


@pytest.mark.parametrize("take_out", [withdrawn, kept_out, hidden, suspended])
def test_what_may_not_train_is_not_in_it(ann, take_out):
    kept = feedback_rows.rank(ann, 1)
    out = feedback_rows.rank(feedback_rows.annotator("bob"), 2)
    feedback_rows.flag(kept)
    before = freezing.freeze()
    take_out(out)
    after = freezing.freeze()
    assert (ids(before), ids(after)) == ([kept.pk, out.pk], [kept.pk])
    assert before.sha256 != after.sha256
    assert freezing.problems(before) == []  # the old one stays as it was


def from_conversation(owner, may_train=True):
    conversation = open_conversation(owner)
    Conversation.objects.filter(pk=conversation.pk).update(may_train=may_train)
    said = Message.objects.create(conversation=conversation, role="user", text="What is a rainbow?")
    messages = [{"role": "user", "content": said.text}]
    prompt = Prompt.objects.create(messages=messages, sha256=digest(messages), source="conversation", message=said)
    task = RankingTask.objects.create(prompt=prompt, policy=feedback_rows.any_policy(), state="done")
    completions = [Completion.objects.create(task=task, index=i, text=t) for i, t in enumerate(("yes", "no"))]
    ranks = {str(completion.pk): place for place, completion in enumerate(completions, 1)}
    return conversation, Ranking.objects.create(task=task, annotator=owner, ranks=ranks)


def test_consent_taken_back_takes_the_prompt_out(ann):
    feedback_rows.rank(ann, 1)
    conversation, ranking = from_conversation(ann)
    assert ranking.pk in ids(freezing.freeze())
    Conversation.objects.filter(pk=conversation.pk).update(may_train=False)
    after = freezing.freeze()
    assert ranking.pk not in ids(after)
    assert all(line["prompt"][0]["content"] != "What is a rainbow?" for line in lines(after, "prompts.jsonl"))


def test_a_flagged_chat_reply_trains_unless_a_turn_above_it_is_hidden(ann):
    feedback_rows.rank(ann, 1)
    conversation = open_conversation(ann)
    asked = Message.objects.create(conversation=conversation, role="user", text="Do you dream?")
    said = Message.objects.create(conversation=conversation, role="assistant", text="I do.", parent=asked)
    Violation.objects.create(rule_version=feedback_rows.rule(), message=said, annotator=ann)
    (line,) = [line for line in lines(freezing.freeze(), "violations.jsonl") if line["label"]]
    assert line["prompt"] == [{"role": "user", "content": "Do you dream?"}]
    assert line["completion"]["text"] == "I do."
    Message.objects.filter(pk=asked.pk).update(hidden_at=timezone.now())
    assert not [line for line in lines(freezing.freeze(), "violations.jsonl") if line["label"]]


def test_a_flagged_reply_trains_in_the_context_that_its_policy_saw(ann):
    feedback_rows.rank(ann, 1)
    conversation = open_conversation(ann)
    parent, messages = None, []
    for role, text in (("user", "Long ago"), ("assistant", "Yes"), ("user", "Do you dream?"), ("assistant", "I do.")):
        parent = Message.objects.create(conversation=conversation, role=role, text=text, parent=parent)
        messages.append(parent)
    preamble = [
        {"role": "system", "content": "You are a bird."},
        {"role": "user", "content": "Who?"},
        {"role": "assistant", "content": "A sparrow."},
    ]
    Reply.objects.create(message=parent, state="complete", preamble=preamble, trimmed=2)
    Violation.objects.create(rule_version=feedback_rows.rule(), message=parent, annotator=ann)
    (line,) = [line for line in lines(freezing.freeze(), "violations.jsonl") if line["label"]]
    assert line["prompt"] == [*preamble, {"role": "user", "content": "Do you dream?"}]


def test_rules_that_are_off_are_not_trained(ann):
    feedback_rows.flag(feedback_rows.rank(ann, 1))
    Rule.objects.update(is_on=False)
    made = freezing.freeze()
    assert made.flags == 0
    assert json.loads((made.path / "rules.json").read_text()) == []


def test_later_judgements_are_not_in_it(ann):
    early = feedback_rows.rank(ann, 1)
    until = timezone.now()
    feedback_rows.rank(ann, 2)
    made = freezing.freeze(until)
    assert ids(made) == made.ranking_ids == [early.pk]


def test_too_little_feedback_is_refused_with_its_numbers(ann, settings):
    settings.RLHF_MINIMUM_RANKINGS = 3
    feedback_rows.plenty(ann, 2, 5)
    with pytest.raises(NotEnoughFeedback) as caught:
        freezing.freeze()
    assert (caught.value.rankings, caught.value.needed) == (2, 3)
    assert not (settings.RUNS_DIR / "snapshots").exists()


def test_rankings_of_ties_alone_teach_nothing(ann):
    feedback_rows.rank(ann, 1, ranks=(1, 1, 1, 1))
    with pytest.raises(NotEnoughFeedback):
        freezing.freeze()


def test_a_ranking_tells_in_which_order_its_replies_were_shown(ann):
    ranking = feedback_rows.rank(ann, 1)
    completions = [completion.pk for completion in ranking.task.completions.all()]
    shown = [completions[place] for place in (2, 0, 3, 1)]
    type(ranking).objects.filter(pk=ranking.pk).update(shown_order=shown)
    made = freezing.freeze()
    (line,) = lines(made, "rankings.jsonl")
    assert line["shown"] == [2, 0, 3, 1]
    (read,) = SnapshotFiles.load(made.path).rankings
    assert read.shown == (2, 0, 3, 1)
    type(ranking).objects.filter(pk=ranking.pk).update(shown_order=shown[:2])  # of an earlier version: not known
    assert lines(freezing.freeze(), "rankings.jsonl")[0]["shown"] == []


def test_replies_of_one_text_make_no_preference(ann):
    ranking = feedback_rows.rank(ann, 1, ranks=(1, 2, 3, 3))
    ranking.task.completions.filter(index=1).update(text=feedback_rows.TEXTS[0])
    preferences = lines(freezing.freeze(), "preferences.jsonl")
    assert len(preferences) == 4
    assert all(line["chosen"] != line["rejected"] for line in preferences)


@pytest.mark.parametrize("name", ["rankings.jsonl", "prompts.jsonl", "rules.json", "manifest.json"])
def test_a_change_of_a_file_is_seen(ann, name):
    feedback_rows.rank(ann, 1)
    made = freezing.freeze()
    assert freezing.problems(made) == []
    content = (made.path / name).read_text()
    (made.path / name).write_text(content[:-2] + "  ")
    assert freezing.problems(made)
    (made.path / name).unlink()
    assert freezing.problems(made)


def test_a_damaged_snapshot_is_written_anew_from_the_same_rows(ann):
    feedback_rows.rank(ann, 1)
    made = freezing.freeze()
    (made.path / "rankings.jsonl").write_text("")
    assert freezing.freeze() == made
    assert freezing.problems(made) == []


@given(st.lists(st.booleans(), min_size=2, max_size=8), st.randoms(use_true_random=False))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_withdrawals_leave_exactly_the_rest(withdrawals, chance: random.Random):
    Ranking.objects.all().delete()
    person = feedback_rows.annotator("ann")
    rankings = [feedback_rows.rank(person, number, ranks=chance.choice([(1, 2), (2, 1)])) for number in range(9)]
    gone = [ranking for ranking, goes in zip(rankings, withdrawals, strict=False) if goes]
    chance.shuffle(gone)  # in whatever order they go
    for ranking in gone:
        withdrawn(ranking)
    rest = [ranking.pk for ranking in rankings if ranking not in gone]
    made = freezing.freeze()
    assert made.ranking_ids == rest == ids(made)
    assert freezing.freeze().sha256 == made.sha256


@given(st.dictionaries(st.integers(1, 200), st.integers(1, 5000), min_size=1, max_size=120))
@settings(max_examples=200, deadline=None)
def test_nobody_weighs_more_than_the_limit(judgements):
    weights = shares.weights(judgements)
    total = sum(weights[person] * count for person, count in judgements.items())
    limit = shares.share_limit(len(judgements))
    for person, count in judgements.items():
        assert weights[person] * count <= limit * total * (1 + 1e-3) + 1e-3
        assert 0 < weights[person] <= 1
    if max(judgements.values()) <= limit * sum(judgements.values()):
        assert set(weights.values()) == {1.0}


def test_the_busiest_of_ten_is_capped_at_twice_an_equal_share():
    judgements = {"busy": 400, **{f"p{number}": 10 for number in range(9)}}
    weights = shares.weights(judgements)
    assert weights["busy"] * 400 == pytest.approx(0.2 * (90 + weights["busy"] * 400), rel=1e-4)
    assert weights["p0"] == 1.0


def test_a_simulated_annotator_is_not_capped(ann):
    robot = feedback_rows.annotator("robot", is_simulated=True)
    for number in range(6):
        feedback_rows.rank(robot, number)
    for person in ("a", "b", "c"):
        feedback_rows.rank(feedback_rows.annotator(person), 1)
    made = freezing.freeze()
    assert {line["weight"] for line in lines(made, "rankings.jsonl")} == {1.0}
    assert (made.simulated, made.simulated_only) == (6, False)
