"""Where a reply comes from and what a conversation was used for: told to its owner, with nothing of others in it."""

import pytest

from chat.conversations import side_by_side
from chat.models import Conversation, Policy, Reply
from feedback.models import Comparison
from rlhf import lineage
from rlhf.models import Run, Snapshot, Source
from rlhf.runs import cycle
from rlhf.runs.supervisor import Supervisor
from rlhf.snapshots import freezing
from tests.feedback.conversation_rows import make_pair, talk
from tests.rlhf import feedback_rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def chatter():
    return feedback_rows.annotator("chatter")


@pytest.fixture
def trained(judged):
    """What a cycle made, and the gate promoted."""
    cycle.drive(cycle.start().pk, Supervisor())
    return Policy.objects.get(name="policy-2")


@pytest.fixture
def page(client, chatter):
    def get(address, status=200, user=chatter):
        client.force_login(user)
        answer = client.get(address)
        assert answer.status_code == status
        return answer.content.decode()

    return get


def test_a_reply_tells_policy_run_snapshot_measure_gate_and_promotion(trained, chatter, page):
    reply = talk(chatter, "Hello", "Good morning", policy=trained)[1]
    run = trained.runs.get(kind="policy")
    text = page(f"/messages/{reply.pk}/lineage/")
    step = lineage.step(trained)
    assert (step.run, step.snapshot, step.decision.passed) == (run, run.snapshot, True)
    for told in (
        "policy-2",
        "trained from base",
        "Source",
        str(run.algorithm_name),
        f"snapshot {run.snapshot_id}: {run.snapshot.rankings} rankings",
        "accuracy on held-out pairs",
        "of held-out prompts",
        "passed",
        "gate passed",
    ):
        assert told in text, told


def test_a_reply_of_a_base_policy_says_that_nothing_was_learnt_here(base_policy, chatter, page):
    reply = talk(chatter, "Hello", "Good morning", policy=base_policy)[1]
    text = page(f"/messages/{reply.pk}/lineage/")
    assert "not been trained on anything from this site" in text
    assert "Trained on" not in text


def test_a_reply_that_a_person_began_is_not_said_to_be_the_policy_s_alone(base_policy, chatter, page):
    reply = talk(chatter, "Hello", "Good morning", policy=base_policy)[1]
    Reply.objects.filter(message=reply).update(prefix="Good")
    assert "You chose how the reply begins" in page(f"/messages/{reply.pk}/lineage/")
    assert "You chose how this reply begins" in page(f"/c/{reply.conversation_id}/")


def test_it_is_linked_from_the_reply(base_policy, chatter, page):
    reply = talk(chatter, "Hello", "Good morning", policy=base_policy)[1]
    assert f'href="/messages/{reply.pk}/lineage/"' in page(f"/c/{reply.conversation_id}/")


def test_nothing_of_others_is_on_it(trained, chatter, page):
    reply = talk(chatter, "Hello", "Good morning", policy=trained)[1]
    text = page(f"/messages/{reply.pk}/lineage/")
    assert ">ann<" not in text  # who judged
    assert not [said for said in feedback_rows.TEXTS if len(said) > 9 and said in text]  # what was judged
    assert "rainbow, number" not in text  # what was asked


def test_strangers_and_deleted_conversations_are_not_told_apart_from_nothing(base_policy, chatter, page, admin):
    asked, reply = talk(chatter, "Hello", "Good morning", policy=base_policy)
    for user in (feedback_rows.annotator("eve"), admin):
        page(f"/messages/{reply.pk}/lineage/", 404, user)
        page(f"/c/{reply.conversation_id}/uses/", 404, user)
    page(f"/messages/{asked.pk}/lineage/", 404)
    page("/messages/999999/lineage/", 404)
    Conversation.objects.update(deleted_at=reply.created_at)
    page(f"/messages/{reply.pk}/lineage/", 404)
    page(f"/c/{reply.conversation_id}/uses/", 404)


def test_a_blind_reply_is_told_nothing_of(base_policy, chatter, page):
    heron = Policy.objects.create(name="heron-2", version=2, is_scripted=True)
    pair = make_pair(chatter, policies=(base_policy, heron))
    for side in (pair.left, pair.right):
        text = page(f"/messages/{side.message_id}/lineage/", 409)
        assert "Choose one of the two replies first" in text
        assert "heron-2" not in text
        assert base_policy.source not in text
    side_by_side.reveal(pair, pair.left)
    assert "heron-2" in page(f"/messages/{pair.right.message_id}/lineage/")


def test_a_reply_that_waits_has_no_policy_yet(base_policy, chatter, page):
    reply = talk(chatter, "Hello", "")[1]
    Reply.objects.update(state=Reply.State.QUEUED)
    assert "No policy has started" in page(f"/messages/{reply.pk}/lineage/")


def test_a_conversation_tells_snapshots_runs_and_policies_that_used_it_and_leaves_the_next(
    base_policy, chatter, page, client, settings
):
    settings.RLHF_MINIMUM_RANKINGS = 1
    feedback_rows.rank(feedback_rows.annotator("ann"), 1)
    pair = make_pair(chatter, policies=(base_policy, base_policy), may_train=True)
    conversation = pair.message.conversation_id
    assert "Nothing from it is in any snapshot" in page(f"/c/{conversation}/uses/")
    client.post(f"/pairs/{pair.pk}/choose/", {"choice": "left"})
    assert Comparison.objects.count() == 1
    frozen = freezing.freeze()
    heron = Policy.objects.create(name="heron-2", version=2, base=base_policy)
    Policy.objects.create(name="wren-3", version=3, base=heron)
    Policy.objects.create(name="owl-4", version=4, base=base_policy)
    run = Run.objects.create(kind="cycle", state="succeeded", snapshot=frozen)
    Run.objects.create(kind="policy", state="succeeded", snapshot=frozen, parent=run, stage="policy", policy=heron)
    client.post(f"/c/{conversation}/consent/", {})
    assert Source.objects.filter(snapshot=freezing.freeze(), conversation=conversation).count() == 0
    assert Snapshot.objects.count() == 2
    text = page(f"/c/{conversation}/uses/")
    assert "nothing from it goes into any new snapshot" in text
    assert f"Snapshot {frozen.pk}" in text
    assert f"{run.pk} · cycle · succeeded" in text
    assert ("heron-2 · v2" in text, "wren-3 · v3" in text, "owl-4" in text) == (True, True, False)
