"""A policy that a person made is put before the gate by an admin, and made live where it passed."""

import pytest

from accounts.models import AuditEntry
from chat import policies
from chat.models import Policy
from rlhf import candidacy
from rlhf.errors import AdminRequired, CannotPutBeforeGate
from rlhf.models import Decision, Promotion, Run
from rlhf.release import promotion
from rlhf.runs import cycle
from rlhf.runs.supervisor import Supervisor
from rlhf.snapshots import freezing
from tests.rlhf import feedback_rows
from tests.rlhf.policy_directories import write_policy

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def made(base_policy, settings):
    """As a fine-tune leaves it."""
    directory = write_policy(settings.MODELS_DIR / "mine", "mine")
    return policies.register(directory, name="ft-mine", source="run:77", base=base_policy)


@pytest.fixture
def judge(judged, base_policy):
    """A reward model over the base, and the judge beside it."""
    snapshot = freezing.freeze()
    runs = [
        Run.objects.create(
            kind=Run.Kind.REWARD_MODEL,
            stage=stage,
            snapshot=snapshot,
            base_policy=base_policy,
            config={"splits": splits},
        )
        for stage, splits in (("", ["train"]), (cycle.JUDGE, ["held_out"]))
    ]
    trained, _judge = [cycle.drive(run.pk, Supervisor()) for run in runs]
    return trained


def test_the_worker_evaluates_it_and_the_gate_decides(made, judge, admin, no_worker, client):
    client.force_login(admin)
    client.post("/training/policies/ft-mine/gate/")
    run = Run.objects.get(kind=Run.Kind.EVALUATION)
    assert no_worker == [run.pk]
    assert (run.policy, run.reward_model, run.started_by) == (made, judge, admin)
    assert AuditEntry.objects.filter(verb="run.start", actor=admin).count() == 1
    assert cycle.drive(run.pk, Supervisor()).state == Run.State.SUCCEEDED
    decision = Decision.objects.get()
    assert (decision.passed, decision.evaluation.run) == (True, run)
    assert "Promote: it passed the gate" in client.get("/training/policies/ft-mine/").content.decode()
    client.post("/training/policies/ft-mine/promote/")
    assert policies.live() == made
    assert Promotion.objects.order_by("pk").last().decision == decision


def test_asked_twice_it_is_evaluated_once(made, judge, admin, no_worker):
    assert candidacy.put_before_gate(made, actor=admin) == candidacy.put_before_gate(made, actor=admin)
    assert len(no_worker) == 1


def test_without_a_reward_model_or_a_judge_it_is_said_what_makes_one(made, judged, base_policy, admin, judge):
    Run.objects.filter(stage=cycle.JUDGE).delete()
    with pytest.raises(CannotPutBeforeGate, match="its judge has not been trained yet"):
        candidacy.put_before_gate(made, actor=admin)
    Run.objects.filter(kind=Run.Kind.REWARD_MODEL).delete()
    with pytest.raises(CannotPutBeforeGate, match="no reward model for base"):
        candidacy.put_before_gate(made, actor=admin)


def test_a_judge_that_nobody_measured_is_none(made, judge, admin):
    Run.objects.filter(stage=cycle.JUDGE).update(result={"accuracy": 0.7, "pairs": 90})
    with pytest.raises(CannotPutBeforeGate, match="its judge has not been trained yet"):
        candidacy.put_before_gate(made, actor=admin)


def test_only_an_admin_puts_anything_before_the_gate(made, base_policy):
    with pytest.raises(AdminRequired):
        candidacy.put_before_gate(made, actor=feedback_rows.annotator("ann"))


def test_a_decision_beside_what_is_live_no_more_makes_nothing_live(made, judge, admin, client, settings):
    run = candidacy.put_before_gate(made, actor=admin)
    cycle.drive(run.pk, Supervisor())
    other = policies.register(write_policy(settings.MODELS_DIR / "odd", "odd"), name="odd", source="test")
    promotion.force(other, actor=admin, reason="test")
    assert promotion.passed_decision(made) is None
    client.force_login(admin)
    client.post("/training/policies/ft-mine/promote/")
    assert Policy.objects.get(is_live=True) == other
