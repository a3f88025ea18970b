"""What is missing before violations can be estimated is said with its number, before anything is trained."""

import pytest

from feedback.models import Opening, PromptGroup, Violation
from feedback.splits import split_of_conversation
from rlhf.errors import RuleLabelsMissing
from rlhf.runs import cycle, preflight, violation_labels
from rlhf.runs.violation_labels import Counts, missing, warnings
from tests.feedback import conversation_rows
from tests.rlhf import feedback_rows

NEEDED = 20
ENOUGH = Counts(NEEDED, NEEDED)


def test_one_rule_with_enough_of_both_kinds_is_enough():
    assert missing({"a": ENOUGH, "b": Counts(1, 90)}) == []
    assert warnings({"a": ENOUGH, "b": Counts(1, 90)}) == [
        "Violations of 1 rule will not be counted for want of held-out labels: b."
    ]
    assert warnings({"a": ENOUGH}) == warnings({"a": Counts()}) == []


@pytest.mark.parametrize("few", [Counts(NEEDED - 1, 500), Counts(500, NEEDED - 1)])
def test_too_few_of_either_kind_is_too_little_and_the_furthest_is_told(few):
    (sentence,) = missing({"far": Counts(2, 3), "near": few})
    assert "“near”" in sentence
    assert f"{few.broken} of {NEEDED} replies that break it and {few.clean} of {NEEDED}" in sentence


def test_without_a_rule_nothing_can_be_told():
    assert len(missing({})) == 1


def test_what_was_judged_on_held_out_prompts_counts_once_a_reply(base_policy):
    ann, bea = feedback_rows.annotator("ann"), feedback_rows.annotator("bea")
    for number in range(3):
        ranking = feedback_rows.rank(ann, number, split="held_out")
        feedback_rows.flag(ranking, index=1)
        feedback_rows.flag(ranking, index=0, is_violation=False)
        again = feedback_rows.flag(ranking, index=1, key="other")
        again.annotator = bea
        again.save()
    feedback_rows.flag(feedback_rows.rank(ann, 9), index=1)  # of a prompt that is trained on
    feedback_rows.rule("silent")
    assert violation_labels.count() == {"human": Counts(3, 3), "other": Counts(3, 0), "silent": Counts(0, 0)}


def test_a_reply_in_the_chat_counts_once_its_conversation_is_held_out(base_policy):
    ann = feedback_rows.annotator("ann")
    rule = feedback_rows.rule("human")
    _, reply = conversation_rows.talk(ann, "What is a rainbow?", "I saw one yesterday.")
    Violation.objects.create(message=reply, annotator=ann, rule_version=rule, is_violation=True)
    assert violation_labels.count()["human"] == Counts(0, 0)
    assert not Opening.objects.exists()  # reading decided nothing
    split_of_conversation(reply)
    PromptGroup.objects.update(split="held_out")
    assert violation_labels.count()["human"] == Counts(1, 0)
    PromptGroup.objects.update(split="train")
    assert violation_labels.count()["human"] == Counts(0, 0)


def test_the_page_says_which_rules_will_not_be_counted(base_policy, settings):
    settings.RLHF_MINIMUM_RULE_LABELS = 1
    ranking = feedback_rows.rank(feedback_rows.annotator("ann"), 0, split="held_out")
    feedback_rows.flag(ranking, index=1)
    feedback_rows.flag(ranking, index=0, is_violation=False)
    feedback_rows.rule("silent")
    (note,) = preflight.check().uncounted
    assert "silent" in note


def test_a_cycle_does_not_start_without_them_unless_asked_to(base_policy, settings):
    settings.RLHF_MINIMUM_RULE_LABELS = NEEDED
    feedback_rows.plenty(feedback_rows.annotator("ann"))
    feedback_rows.rule("silent")
    with pytest.raises(RuleLabelsMissing, match="0 of 20 replies that break it"):
        cycle.start()
    assert "0 of 20 replies that break it" in preflight.check().judge_shortage
    assert not preflight.check().can_start
    assert preflight.check().can_start_anyway
    assert cycle.start(unqualified=True).state == "queued"
