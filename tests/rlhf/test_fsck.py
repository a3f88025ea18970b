"""fsck: each promise that is broken is seen, and a sound site has no problem."""

import os
import subprocess
import sys
from datetime import timedelta

import pytest
from django.conf import settings

from accounts.models import AuditEntry
from chat import policies
from chat.models import Policy
from rlhf.models import Promotion, Run
from rlhf.runs import cycle, leases
from rlhf.snapshots import freezing
from tests.rlhf import feedback_rows
from tests.rlhf.command_calls import call


def promises_broken():
    code, said = call("fsck")
    assert code == (1 if said["problems"] else 0)
    return {problem["promise"] for problem in said["problems"]}


def break_weights(base_policy, judged):
    (policies.directory(base_policy) / "config.json").write_text("{}")


def break_nobody_live(base_policy, judged):
    Policy.objects.update(is_live=False)


def break_live_without_promotion(base_policy, judged):
    Promotion.objects.all().delete()


def break_ranking(base_policy, judged):
    judged[0].ranks.popitem()
    judged[0].save()


def break_snapshot(base_policy, judged):
    (freezing.freeze().path / "rankings.jsonl").write_text("{}")


def break_audit(base_policy, judged):
    AuditEntry.objects.update(reason="rewritten")


def break_lease(base_policy, judged):
    run = cycle.start()
    Run.objects.filter(pk=run.pk).update(state="running", lease_until=leases.later(timedelta(minutes=-5)))


def break_drafts(base_policy, judged):
    draft = policies.directory(base_policy).parent / "tmp-dead"
    draft.mkdir()
    os.utime(draft, (0, 0))


def break_rollouts(base_policy, judged):
    ended = Run.objects.create(kind="policy", algorithm="ppo", state="failed", error="killed")
    (settings.ROLLOUTS_DIR / f"run-{ended.pk}").mkdir()


def break_run_error(base_policy, judged):
    Run.objects.create(kind="reward_model", state="failed")


@pytest.mark.parametrize(
    ("damage", "promise"),
    [
        (break_ranking, 1),
        (break_weights, 4),
        (break_nobody_live, 4),
        (break_live_without_promotion, 5),
        (break_snapshot, 7),
        (break_audit, 8),
        (break_lease, 9),
        (break_drafts, 9),
        (break_rollouts, 9),
        (break_run_error, 10),
    ],
)
def test_fsck_sees_a_broken_promise(base_policy, judged, damage, promise):
    assert promises_broken() == set()
    damage(base_policy, judged)
    assert promises_broken() == {promise}


def test_fsck_sees_broken_replies(base_policy):
    from django.utils import timezone

    from chat.models import Chunk, Conversation, Message, Reply

    talk = Conversation.objects.create(owner=feedback_rows.annotator("ann"))
    message = Message.objects.create(conversation=talk, role="assistant", text="Hello there")
    reply = Reply.objects.create(message=message, state="complete", last_seq=2, ended_at=timezone.now())
    for seq, text in ((1, "Hello "), (2, "there")):
        Chunk.objects.create(reply=reply, seq=seq, text=text)
    assert promises_broken() == set()
    Chunk.objects.filter(seq=1).delete()
    assert promises_broken() == {3}
    Reply.objects.update(state="failed", error="?")
    assert promises_broken() == {3, 10}


def test_fsck_sees_a_block_without_a_rule_and_a_beginning_that_is_gone(base_policy):
    from django.utils import timezone

    from chat.models import Chunk, Conversation, Message, Reply

    talk = Conversation.objects.create(owner=feedback_rows.annotator("ann"))
    message = Message.objects.create(conversation=talk, role="assistant", text="Hello")
    Reply.objects.create(
        message=message, state="blocked", blocked_by="no-insults", prefix="Hell", last_seq=1, ended_at=timezone.now()
    )
    Chunk.objects.create(reply=message.reply, seq=1, text="Hello")
    assert promises_broken() == set()
    Reply.objects.update(state="complete")
    assert promises_broken() == {10}
    Reply.objects.update(blocked_by="")
    assert promises_broken() == set()
    Reply.objects.update(prefix="Good")
    assert promises_broken() == {3}
    Reply.objects.update(prefix="", state="blocked")
    assert promises_broken() == {10}


def test_fsck_sees_branches_that_lead_into_another_conversation(base_policy):
    from chat.models import Conversation, Message

    owner = feedback_rows.annotator("ann")
    talk, other = (Conversation.objects.create(owner=owner) for _ in range(2))
    first = Message.objects.create(conversation=talk, role="user", text="Hi")
    Conversation.objects.filter(pk=talk.pk).update(tip=first)
    assert promises_broken() == set()
    Conversation.objects.filter(pk=other.pk).update(tip=first)
    assert promises_broken() == {3}
    Conversation.objects.update(tip=None)
    Message.objects.create(conversation=other, parent=first, role="user", text="Hi")
    assert promises_broken() == {3}


def test_fsck_sees_two_trainers_and_an_orphan(base_policy, home, settings):
    directory = settings.RUNS_DIR / "run-77"
    directory.mkdir()
    sleepers = [
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", str(directory)]) for _ in range(2)
    ]
    try:
        said = call("fsck")[1]
        assert len([problem for problem in said["problems"] if problem["promise"] == 6]) == 2
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait()
