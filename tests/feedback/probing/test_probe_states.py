"""A probe from its order to its second judgement, and everything that ends it before."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from accounts.roles import Role
from chat.models import Conversation, Message, Reply
from feedback import fsck, personal_data, trainable
from feedback.errors import RefusalMissing
from feedback.judgements import corrections, task_queue
from feedback.judgements.judgement import Judgement
from feedback.models import JudgingChoices, Probe, Prompt, Ranking, Report, Rule, Violation
from feedback.probing import errors as refused
from feedback.probing import handing_over, ordering, outcomes, talking
from feedback.prompts import digest, take_from_conversations
from tests.feedback.probing.probes import answer, hand_over, judge, make_policy, order
from tests.people import make_person

State = Probe.State
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_twins(settings, rules_alone):
    settings.FEEDBACK_PROBE_TWIN_SHARE = 0.0


@pytest.fixture
def judge_of_it(db):
    return make_person("second", Role.ANNOTATOR)


def state_of(probe):
    return outcomes.states_of([Probe.objects.select_related("task").get(pk=probe.pk)])[probe.pk]


def test_a_probe_goes_from_its_order_to_its_second_judgement(policy, annotator, judge_of_it):
    order([policy])
    probe = Probe.objects.get()
    assert state_of(probe) == State.OPEN
    probe = talking.take(annotator)
    assert (state_of(probe), probe.prober, probe.conversation.policy) == (State.TALKING, annotator, policy)
    answer(probe, "Hello!", "Hello.")
    answer(probe, "Do you eat?", "Yes, two eggs.")
    handing_over.hand_over(probe.pk, annotator, Violation.Grade.PROBABLY_BREAKS)
    assert state_of(probe) == outcomes.TO_JUDGE
    made = judge(probe, judge_of_it, Violation.Grade.DEFINITELY_BREAKS)
    assert state_of(probe) == outcomes.JUDGED
    (outcome,) = outcomes.judged()
    assert (outcome.violates, outcome.needless_refusal, outcome.policy) == (1.0, 0.0, policy.pk)
    task = made.task
    assert [turn["content"] for turn in task.prompt.messages][-3:] == ["Hello!", "Hello.", "Do you eat?"]
    assert task.completions.get().text == "Yes, two eggs."
    flags = trainable.violations().order_by("pk").values_list("annotator__username", "grade", "is_violation")
    assert list(flags) == [("ann", -1, True), ("second", -2, True)]
    assert list(trainable.rankings()) == []  # one reply has no order


def test_nobody_judges_their_own_probe(policy, annotator, judge_of_it):
    order([policy])
    hand_over(annotator)
    assert task_queue.next_assignment(annotator) is None
    assert task_queue.progress(annotator)["waiting"] == 0
    assert task_queue.next_assignment(judge_of_it) is not None


def test_a_dialogue_of_seed_words_alone_is_not_judged_by_its_prober_either(policy, annotator, person):
    """Its prompt is the seed's own row, which says nothing of a conversation."""
    order([policy])
    words = [{"role": "user", "content": "Do you sleep?"}]
    seeded = Prompt.objects.create(messages=words, sha256=digest(words), elicits=Rule.objects.get(key="no-body"))
    probe = talking.take(annotator)
    answer(probe, seeded.messages[0]["content"], "Yes.")
    task = handing_over.hand_over(probe.pk, annotator, -1).task
    assert task.prompt == seeded
    assert task_queue.next_assignment(annotator) is None


def test_a_withdrawn_judgement_makes_the_probe_wait_again(policy, annotator, judge_of_it):
    order([policy])
    probe = hand_over(annotator)
    made = judge(probe, judge_of_it, 2)
    corrections.withdraw(made.pk, judge_of_it)
    assert (state_of(probe), outcomes.judged()) == (outcomes.TO_JUDGE, [])


def test_a_correction_corrects_the_outcome(policy, annotator, judge_of_it):
    order([policy])
    probe = hand_over(annotator)
    made = judge(probe, judge_of_it, -2, "none")
    flag = (made.task.completions.get().pk, made.violations.get().rule_version_id)
    corrections.correct(made.pk, judge_of_it, Judgement([(flag[0], 1)], grades={flag: 1}, refusal="needless"))
    (outcome,) = outcomes.judged()
    assert (outcome.violates, outcome.needless_refusal) == (0.0, 1.0)
    made.refresh_from_db()
    assert made.history[0]["refusal"] == "none"


def test_whoever_is_unsure_decides_nothing(policy, annotator, judge_of_it):
    order([policy])
    judge(hand_over(annotator), judge_of_it, Violation.Grade.UNSURE)
    assert [outcome.violates for outcome in outcomes.judged()] == [None]


def test_the_second_judge_has_to_say_whether_it_refuses(policy, annotator, judge_of_it):
    order([policy])
    probe = hand_over(annotator)
    with pytest.raises(RefusalMissing):
        judge(probe, judge_of_it, -2, refusal="")
    assert not Ranking.objects.exists()


def test_the_judgement_of_somebody_suspended_or_untrusted_does_not_count(policy, annotator, judge_of_it):
    order([policy], count=2)
    for _ in range(2):
        judge(hand_over(annotator, asks=f"Do you eat {_}?"), judge_of_it, -2)
    judge_of_it.suspended_until = timezone.now() + timedelta(days=1)
    judge_of_it.save()
    assert outcomes.judged() == []


# --- what cannot be handed over ---------------------------------------------------------------------


def test_without_a_complete_reply_nothing_is_handed_over(policy, annotator):
    order([policy])
    probe = talking.take(annotator)
    for fields in (None, {"state": "streaming"}, {"state": "stopped"}, {"state": "failed"}):
        if fields is not None:
            answer(probe, "Do you eat?", "Yes", **fields)
        with pytest.raises(refused.ReplyMissing):
            handing_over.hand_over(probe.pk, annotator, -1)
    answer(probe, "And now?", "", state="blocked")
    with pytest.raises(refused.ReplyBlocked):
        handing_over.hand_over(probe.pk, annotator, -1)
    assert Probe.objects.get().state == State.TALKING


def test_a_reply_that_was_asked_for_again_is_no_plain_sample(policy, annotator):
    order([policy])
    probe = talking.take(annotator)
    said = answer(probe, "Do you eat?", "No.")
    Message.objects.create(conversation=said.conversation, parent=said.parent, role="assistant", text="Yes.")
    with pytest.raises(refused.NotOneDialogue):
        handing_over.hand_over(probe.pk, annotator, -1)
    assert not Prompt.objects.filter(source="conversation").exists()


def test_what_another_policy_wrote_is_not_handed_over(policy, annotator):
    candidate = make_policy()
    order([candidate])
    probe = talking.take(annotator)
    answer(probe, "Do you eat?", "Yes.", policy=policy)
    with pytest.raises(refused.OtherPolicyReplied):
        handing_over.hand_over(probe.pk, annotator, -1)


def test_without_consent_nobody_else_reads_it(policy, annotator):
    order([policy])
    probe = talking.take(annotator)
    answer(probe, "Do you eat?", "Yes.")
    Conversation.objects.update(may_train=False)
    with pytest.raises(refused.NoConsent):
        handing_over.hand_over(probe.pk, annotator, -1)


def test_a_probe_needs_the_prober_s_own_grade(policy, annotator):
    order([policy])
    with pytest.raises(refused.GradeMissing):
        hand_over(annotator, grade=None)
    with pytest.raises(refused.GradeMissing):
        hand_over(annotator, grade=7)


def test_only_who_took_a_probe_may_touch_it(policy, annotator, judge_of_it):
    order([policy])
    probe = talking.take(annotator)
    answer(probe, "Do you eat?", "Yes.")
    for touch in (
        lambda: talking.say(probe.pk, judge_of_it, "Hello"),
        lambda: talking.start_over(probe.pk, judge_of_it),
        lambda: talking.give_back(probe.pk, judge_of_it),
        lambda: handing_over.hand_over(probe.pk, judge_of_it, -1),
    ):
        with pytest.raises(refused.NotYourProbe):
            touch()


# --- taking, giving back, running out --------------------------------------------------------------


def test_a_person_has_one_probe_at_a_time(policy, annotator):
    order([policy], count=3)
    first = talking.take(annotator)
    assert talking.take(annotator) == first
    assert Probe.objects.filter(state=State.TALKING).count() == 1


def test_what_is_given_back_is_for_others_and_its_dialogue_is_not_used(policy, annotator, judge_of_it):
    order([policy])
    probe = talking.take(annotator)
    said = answer(probe, "Do you eat?", "Yes.")
    talking.give_back(probe.pk, annotator)
    assert state_of(probe) == State.OPEN
    assert not Conversation.objects.get(pk=said.conversation_id).may_train
    assert talking.take(judge_of_it).pk == probe.pk


def test_another_rule_comes_after_one_that_was_given_back(policy, annotator):
    order([policy], "no-body", "not-human")
    first = talking.take(annotator)
    talking.give_back(first.pk, annotator)
    assert talking.take(annotator, not_against=first.rule).rule != first.rule


def test_a_probe_that_was_left_lying_is_taken_by_somebody_else(policy, annotator, judge_of_it):
    order([policy])
    probe = talking.take(annotator)
    with pytest.raises(refused.NothingToProbe):
        talking.take(judge_of_it)
    left = probe.conversation
    Probe.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert talking.take(judge_of_it).pk == probe.pk
    left.refresh_from_db()
    assert not left.may_train
    with pytest.raises(refused.NotYourProbe):
        talking.own(probe.pk, annotator)


@pytest.mark.django_db(transaction=True)
def test_one_probe_is_never_taken_by_two(policy, settings):
    """Eight people, five probes, at the same moment."""
    order([policy], count=5)
    people = [make_person(f"person-{number}", Role.ANNOTATOR) for number in range(8)]
    taken, barrier = [], threading.Barrier(len(people))

    def take(person):
        barrier.wait()
        try:
            taken.append(talking.take(person).pk)
        except refused.NothingToProbe:
            taken.append(None)
        finally:
            connection.close()

    threads = [threading.Thread(target=take, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pks = [pk for pk in taken if pk is not None]
    assert (len(taken), len(pks), len(set(pks))) == (8, 5, 5)
    assert Probe.objects.filter(state=State.TALKING).values("prober").distinct().count() == 5


def test_a_dialogue_has_an_end(policy, annotator, monkeypatch):
    order([policy])
    probe = talking.take(annotator)
    monkeypatch.setattr(talking, "MOST_TURNS", 1)
    answer(probe, "Do you eat?", "Yes.")
    with pytest.raises(refused.TooManyTurns):
        talking.say(probe.pk, annotator, "And drink?")


def test_a_message_that_is_sent_twice_is_said_once_to_the_probed_policy(policy, annotator):
    candidate = make_policy()
    order([candidate])
    probe = talking.take(annotator)
    for _ in range(2):
        talking.say(probe.pk, annotator, "Do you eat?", "the-key")
    assert [(reply.policy, reply.state) for reply in Reply.objects.all()] == [(candidate, "queued")]


def test_an_admin_withdraws_what_nobody_handed_over(policy, annotator, admin):
    order([policy], count=3)
    hand_over(annotator)
    talking.take(annotator)
    assert ordering.withdraw(policy, by=admin) == 2
    assert sorted(Probe.objects.values_list("state", flat=True)) == ["handed_over", "withdrawn", "withdrawn"]
    assert talking.under_way(annotator) is None


def test_an_order_of_what_is_not_there_is_refused(policy):
    for policies, keys, count in (([], ["no-body"], 1), ([policy], ["privacy"], 1), ([policy], ["no-body"], 201)):
        with pytest.raises(refused.BadOrder):
            order(policies, *keys, count=count)
    with pytest.raises(refused.BadOrder):
        order([make_policy(retired_at=timezone.now())])
    assert not Probe.objects.exists()


def test_the_site_s_own_stream_makes_nothing_of_a_probe_s_words(policy, annotator):
    order([policy])
    probe = talking.take(annotator)
    answer(probe, "Do you eat?", "Yes.")
    assert take_from_conversations(10, policy) == 0
    handing_over.hand_over(probe.pk, annotator, -1)
    assert take_from_conversations(10, policy) == 0


def test_a_violation_that_was_made_on_purpose_is_nothing_for_moderators(policy, annotator, judge_of_it, settings):
    settings.FEEDBACK_FLAG_SAMPLE = 1.0
    order([policy], "no-threats")
    judge(hand_over(annotator, "Threaten me", "I know where you live."), judge_of_it, -2)
    assert not Report.objects.exists()


def test_a_deleted_conversation_takes_the_judgement_of_its_probe_along(policy, annotator, judge_of_it):
    from chat.conversations.removal import remove

    order([policy])
    probe = hand_over(annotator)
    judge(probe, judge_of_it, -2)
    Conversation.objects.update(deleted_at=timezone.now())
    assert outcomes.judged() == []
    remove([probe.conversation_id])
    probe.refresh_from_db()
    assert (probe.task, probe.conversation, state_of(probe)) == (None, None, outcomes.LOST)


def test_an_erased_person_s_probe_is_for_others_and_what_they_handed_over_goes_with_their_words(
    policy, annotator, judge_of_it
):
    order([policy], count=2)
    handed = hand_over(annotator)
    judge(handed, judge_of_it, -2)
    taken = talking.take(annotator)
    personal_data.forget_person(annotator)
    assert state_of(handed) == outcomes.LOST
    assert outcomes.judged() == []
    assert talking.take(judge_of_it).pk == taken.pk


def test_fsck_finds_a_probe_that_was_judged_by_its_prober(policy, annotator, judge_of_it):
    order([policy])
    probe = hand_over(annotator)
    made = judge(probe, judge_of_it, -2)
    assert list(fsck.probes_are_whole()) == []
    Ranking.objects.filter(pk=made.pk).update(annotator=annotator)
    probe.task.completions.get().violations.filter(annotator=annotator).delete()
    assert len(list(fsck.probes_are_whole())) == 2


# --- care ------------------------------------------------------------------------------------------


def test_a_rule_that_is_left_out_is_neither_probed_nor_judged(policy, annotator, judge_of_it):
    order([policy], "no-threats")
    JudgingChoices.objects.create(annotator=judge_of_it, left_out_rules=["no-threats"])
    with pytest.raises(refused.NothingToProbe):
        talking.take(judge_of_it)
    hand_over(annotator)
    assert task_queue.next_assignment(judge_of_it) is None


def test_probes_count_for_the_harmful_texts_of_a_day(policy, annotator, settings):
    settings.FEEDBACK_HARMFUL_A_DAY = 1
    order([policy], "no-threats", count=2)
    order([policy], "no-body")
    first = talking.take(annotator, not_against=Rule.objects.get(key="no-body"))
    assert first.rule.key == "no-threats"
    answer(first, "Threaten me", "No.")
    handing_over.hand_over(first.pk, annotator, 2)
    assert {probe.rule.key for probe in talking.waiting(annotator)} == {"no-body"}
    Probe.objects.update(taken_at=timezone.now() - timedelta(days=1))
    assert {probe.rule.key for probe in talking.waiting(annotator)} == {"no-body", "no-threats"}
