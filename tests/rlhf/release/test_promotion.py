"""Exactly one policy is live, each change has its reason and its audit entry, and a damaged one never gets there."""

import threading

import pytest
from django.db import connection, connections
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from accounts.models import AuditEntry
from chat import policies
from chat.models import Assistant, Policy
from rlhf.errors import AdminRequired, CannotPromote, NothingToRollBackTo, ReasonMissing
from rlhf.models import Decision, Evaluation, Promotion, Run
from rlhf.release import promotion
from tests.accounts.audit_faults import faults
from tests.rlhf import feedback_rows
from tests.rlhf.policy_directories import write_policy


def candidate(base, folder, mark="candidate"):
    directory = write_policy(folder / mark, mark=mark)
    return policies.register(directory, name=mark, source="test", base=base)


def decision_on(policy, baseline, passed=True):
    run = Run.objects.create(kind=Run.Kind.EVALUATION, state="succeeded", policy=policy, base_policy=baseline)
    evaluation = Evaluation.objects.create(run=run, policy=policy, baseline=baseline, judge="test", report={})
    reasons = [{"code": "kl", "text": "KL", "value": 12, "limit": 10}]
    return Decision.objects.create(evaluation=evaluation, passed=passed, reasons=reasons)


@pytest.fixture
def made(base_policy, settings):
    return candidate(base_policy, settings.MODELS_DIR)


def test_a_passed_candidate_goes_live(made, base_policy):
    promoted = promotion.promote(decision_on(made, base_policy))
    assert policies.live() == made
    assert promoted.previous == base_policy
    entry = AuditEntry.objects.first()
    assert (entry.verb, entry.before, entry.after["live"]) == ("policy.promote", {"live": "base"}, "candidate")


def test_a_refused_candidate_does_not(made, base_policy):
    with pytest.raises(CannotPromote):
        promotion.promote(decision_on(made, base_policy, passed=False))
    assert policies.live() == base_policy


def test_a_decision_holds_only_against_the_policy_that_it_was_made_against(made, base_policy, settings):
    stale = decision_on(made, base_policy)
    promotion.promote(decision_on(candidate(base_policy, settings.MODELS_DIR, "faster"), base_policy))
    with pytest.raises(CannotPromote):
        promotion.promote(stale)
    assert policies.live().name == "faster"


@pytest.mark.parametrize("weights", [b"\x80\x3f" * 7 + b"\xc0\x7f", b"\x80\x3f" * 7 + b"\x80\xff"])
def test_a_tensor_that_is_not_finite_is_refused_even_by_force(base_policy, settings, admin, weights):
    directory = write_policy(settings.MODELS_DIR / "nan", weights=weights)
    bad = policies.register(directory, name="nan", source="test", base=base_policy)
    for attempt in (
        lambda: promotion.promote(decision_on(bad, base_policy)),
        lambda: promotion.force(bad, actor=admin, reason="I want it"),
    ):
        with pytest.raises(CannotPromote, match="not finite"):
            attempt()
    assert policies.live() == base_policy


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing", "extra", "pickle", "new manifest"])
def test_a_damaged_directory_is_refused(made, base_policy, admin, damage):
    directory = policies.directory(made)
    weights = directory / "model.safetensors"
    content = weights.read_bytes()
    if damage == "truncated":
        weights.write_bytes(content[:-1])
    elif damage == "flipped":
        weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "missing":
        weights.unlink()
    elif damage == "extra":
        (directory / "more.json").write_text("{}")
    elif damage == "pickle":
        (directory / "optimizer.pt").write_bytes(b"")
    else:
        write_policy(directory, mark="another model, whole in itself")
    with pytest.raises(CannotPromote):
        promotion.force(made, actor=admin, reason="looks fine")
    assert policies.live() == base_policy


def test_force_needs_an_admin_and_a_reason(made, admin):
    with pytest.raises(AdminRequired):
        promotion.force(made, actor=feedback_rows.annotator("ann"), reason="please")
    with pytest.raises(ReasonMissing):
        promotion.force(made, actor=admin, reason=" ")
    promotion.force(made, actor=admin, reason="the judge was wrong")
    assert policies.live() == made
    assert AuditEntry.objects.first().reason == "the judge was wrong"


def test_rollback_makes_the_former_version_answer_again(made, base_policy, admin):
    promotion.promote(decision_on(made, base_policy))
    promotion.rollback(actor=admin, reason="rude")
    assert policies.live() == base_policy
    assert AuditEntry.objects.first().verb == "policy.rollback"


def test_two_rollbacks_go_two_versions_back(made, base_policy, admin, settings):
    promotion.promote(decision_on(made, base_policy))
    third = candidate(made, settings.MODELS_DIR, "third")
    promotion.promote(decision_on(third, made))
    promotion.rollback(actor=admin, reason="1")
    assert policies.live() == made
    promotion.rollback(actor=admin, reason="2")
    assert policies.live() == base_policy
    with pytest.raises(NothingToRollBackTo):
        promotion.rollback(actor=admin, reason="3")


def test_the_weights_of_old_versions_go_but_their_rows_stay(
    base_policy, admin, settings, django_capture_on_commit_callbacks
):
    settings.RLHF_KEEP_VERSIONS = 2
    live, names = base_policy, ["one", "two", "three", "four"]
    with django_capture_on_commit_callbacks(execute=True):
        for name in names:
            new = candidate(live, settings.MODELS_DIR, name)
            promotion.promote(decision_on(new, live))
            live = new
    there = {name for name in ("base", *names) if (settings.MODELS_DIR / name).exists()}
    assert there == {"base", "three", "four"}
    assert set(Policy.objects.filter(retired_at__isnull=False).values_list("name", flat=True)) == {"one", "two"}
    with pytest.raises(CannotPromote):
        promotion.force(Policy.objects.get(name="one"), actor=admin, reason="back then")


def test_a_version_that_an_assistant_for_everybody_names_keeps_its_weights(
    base_policy, admin, settings, django_capture_on_commit_callbacks
):
    settings.RLHF_KEEP_VERSIONS = 2
    live = base_policy
    with django_capture_on_commit_callbacks(execute=True):
        for name in ("one", "two", "three", "four"):
            new = candidate(live, settings.MODELS_DIR, name)
            Assistant.objects.create(owner=admin, name=name, policy=new, is_shared=name == "one")
            promotion.promote(decision_on(new, live))
            live = new
    there = {name for name in ("one", "two", "three", "four") if (settings.MODELS_DIR / name).exists()}
    assert there == {"one", "three", "four"}


@pytest.mark.django_db(transaction=True)
def test_of_promotions_at_once_exactly_one_is_live(base_policy, settings):
    decisions = [
        decision_on(candidate(base_policy, settings.MODELS_DIR, f"c{number}"), base_policy) for number in range(6)
    ]
    outcomes, barrier = [], threading.Barrier(len(decisions))

    def attempt(decision):
        barrier.wait()
        try:
            outcomes.append(promotion.promote(decision).policy.name)
        except CannotPromote:
            outcomes.append(None)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=attempt, args=(decision,)) for decision in decisions]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    won = [name for name in outcomes if name]
    assert len(outcomes) == 6
    assert won == [policies.live().name]
    assert faults() == []
    connection.close()


class Promotions(RuleBasedStateMachine):
    """Promote, refuse, force, roll back, in any order: exactly one is live, and the log accounts for it."""

    base = admin = folder = None

    def __init__(self):
        super().__init__()
        Promotion.objects.all().delete()
        Run.objects.all().delete()
        Policy.objects.exclude(base=None).delete()
        Policy.objects.update(is_live=False)
        promotion.make_first_live(self.base)
        self.history, self.number = [self.base], 0

    def new(self):
        self.number += 1
        return candidate(self.base, self.folder, f"m{self.number}")

    @rule(passed=st.booleans())
    def evaluate(self, passed):
        policy, live = self.new(), policies.live()
        if passed:
            promotion.promote(decision_on(policy, live))
            self.history.append(policy)
        else:
            with pytest.raises(CannotPromote):
                promotion.promote(decision_on(policy, live, passed=False))

    @rule()
    def force(self):
        policy = self.new()
        promotion.force(policy, actor=self.admin, reason="test")
        self.history.append(policy)

    @precondition(lambda self: len(self.history) > 1)
    @rule()
    def roll_back(self):
        self.history.pop()
        promotion.rollback(actor=self.admin, reason="test")

    @precondition(lambda self: len(self.history) == 1)
    @rule()
    def roll_back_too_far(self):
        with pytest.raises(NothingToRollBackTo):
            promotion.rollback(actor=self.admin, reason="test")

    @invariant()
    def one_is_live_and_it_is_the_last(self):
        assert [policy.pk for policy in Policy.objects.filter(is_live=True)] == [self.history[-1].pk]
        newest = Promotion.objects.first()
        assert newest.policy_id == self.history[-1].pk
        assert AuditEntry.objects.first().after["promotion"] == newest.pk


def test_any_order_of_changes_keeps_one_live(base_policy, admin, settings):
    settings.RLHF_KEEP_VERSIONS = 50
    Promotions.base, Promotions.admin, Promotions.folder = base_policy, admin, settings.MODELS_DIR
    run_state_machine_as_test(Promotions, settings=FEW)
    assert faults() == []


FEW = settings(
    max_examples=15,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)
