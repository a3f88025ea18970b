"""Withdrawn consent: which snapshots lose the texts, which are marked, and what no longer begins."""

import json

import pytest
from django.db import transaction

from accounts import consents
from chat.models import Conversation
from feedback import trainable
from feedback.models import Comparison
from rlhf.errors import NotEnoughFeedback, SnapshotErased, SnapshotWithdrawn
from rlhf.models import Run, Snapshot, Source
from rlhf.runs import cycle
from rlhf.snapshots import freezing, withdrawals
from tests.consenting import agree
from tests.feedback.conversation_rows import make_pair
from tests.people import make_person
from tests.rlhf import feedback_rows

pytestmark = pytest.mark.django_db(transaction=True)
SAID = "What does a nightingale sing?"


@pytest.fixture(autouse=True)
def _runs_here(settings, tmp_path):
    settings.RUNS_DIR, settings.RLHF_MINIMUM_RANKINGS = tmp_path / "runs", 1


@pytest.fixture
def writer():
    return make_person("writer")


@pytest.fixture
def other():
    return feedback_rows.annotator("ann")


def chosen_by(writer):
    pair = make_pair(writer, asks=SAID, may_train=True)
    return Comparison.objects.create(
        pair=pair, annotator=writer, choice="left", split="train"
    ).pair.message.conversation


def frozen(writer, other):
    chosen_by(writer)
    feedback_rows.rank(other, 1)
    made = freezing.freeze()
    assert SAID in (made.path / "rankings.jsonl").read_text()
    return made


def with_run(snapshot, state, kind=Run.Kind.REWARD_MODEL):
    return Run.objects.create(kind=kind, state=state, snapshot=snapshot)


def lines(snapshot, name="rankings.jsonl"):
    return [json.loads(line) for line in (snapshot.path / name).read_text().splitlines()]


@pytest.mark.parametrize("state", [None, "queued", "failed", "cancelled"])
def test_a_snapshot_that_was_not_trained_on_goes_and_the_next_is_without_the_text(writer, other, state):
    made = frozen(writer, other)
    if state is not None:
        with_run(made, state)
    consents.withdraw(writer)
    made.refresh_from_db()
    assert made.erased_at is not None
    assert not made.path.exists()
    assert not freezing.problems(made)
    after = freezing.freeze()
    assert SAID not in "".join(path.read_text() for path in after.path.iterdir())


@pytest.mark.parametrize("state", ["running", "waiting", "succeeded"])
def test_one_that_was_trained_on_stays_and_is_marked(writer, other, client, state):
    made = frozen(writer, other)
    with_run(made, state)
    consents.withdraw(writer)
    made.refresh_from_db()
    assert (made.erased_at, made.withdrawn) == (None, 1)
    assert not freezing.problems(made)
    client.force_login(writer)
    page = client.get("/account/consent/uses/").content.decode()
    assert "consent withdrawn" in page
    with pytest.raises(SnapshotWithdrawn):
        withdrawals.refuse(made)
    withdrawals.refuse(made, Run.Kind.EVALUATION)


def test_one_conversation_alone_is_taken_out(writer, other, client):
    kept, gone = chosen_by(writer), chosen_by(writer)
    feedback_rows.rank(other, 1)
    made = freezing.freeze()
    with_run(made, "succeeded")
    client.force_login(writer)
    client.post(f"/c/{gone.pk}/consent/", {})
    assert set(Source.objects.exclude(withdrawn_at=None).values_list("conversation", flat=True)) == {gone.pk}
    assert consents.of(writer) is not None
    assert Conversation.objects.get(pk=kept.pk).may_train


def test_others_snapshots_stay(writer, other):
    made = frozen(writer, other)
    consents.withdraw(make_person("third"))
    made.refresh_from_db()
    assert (made.erased_at, made.withdrawn) == (None, 0)


def test_no_run_goes_on_with_a_text_that_was_taken_back(writer, other):
    made = frozen(writer, other)
    failed = with_run(made, "failed", Run.Kind.POLICY)
    consents.withdraw(writer)
    failed.refresh_from_db()
    with pytest.raises(SnapshotErased):
        cycle.resume(failed, actor=None)


def test_a_queued_cycle_begins_with_a_snapshot_without_it(writer, other, base_policy):
    made = frozen(writer, other)
    queued = with_run(made, "queued", Run.Kind.CYCLE)
    consents.withdraw(writer)
    queued.refresh_from_db()
    cycle._without_withdrawn(queued)
    queued.refresh_from_db()
    assert queued.snapshot != made
    assert not any(SAID in str(line) for line in lines(queued.snapshot))


def test_a_queued_cycle_with_nothing_left_says_so(writer):
    chosen_by(writer)
    queued = with_run(freezing.freeze(), "queued", Run.Kind.CYCLE)
    consents.withdraw(writer)
    queued.refresh_from_db()
    with pytest.raises(NotEnoughFeedback):
        cycle._without_withdrawn(queued)


def test_consent_withdrawn_while_a_snapshot_is_written_reaches_it(writer, other, monkeypatch):
    chosen_by(writer)
    feedback_rows.rank(other, 1)
    write, calls = freezing._write, []

    def slowly(*args):
        if not calls:
            calls.append(1)
            consents.withdraw(writer)
        return write(*args)

    monkeypatch.setattr(freezing, "_write", slowly)
    made = freezing.freeze()
    assert not any(SAID in str(line) for line in lines(made))
    assert all(SAID not in path.read_text() for path in freezing.settings.RUNS_DIR.rglob("*.jsonl"))
    assert Snapshot.objects.exclude(erased_at=None).count() == 1


def test_a_withdrawal_that_fails_removes_no_file(writer, other):
    made = frozen(writer, other)
    with transaction.atomic():
        consents.withdraw(writer)
        transaction.set_rollback(True)
    made.refresh_from_db()
    assert made.erased_at is None
    assert made.path.exists()


def test_each_line_names_the_version_agreed_to(writer, other):
    made = frozen(writer, other)
    versions = {SAID in str(line): line["consent_version"] for line in lines(made)}
    assert versions == {True: 1, False: 0}
    assert {line["consent_version"] for line in lines(made, "preferences.jsonl")} == {0, 1}


def test_without_consent_nothing_of_a_conversation_trains(writer):
    conversation = chosen_by(writer)
    assert trainable.comparisons().count() == 1
    consents.withdraw(writer)
    Conversation.objects.filter(pk=conversation.pk).update(may_train=True)
    assert trainable.comparisons().count() == 0
    agree(writer)
    assert trainable.comparisons().count() == 1
