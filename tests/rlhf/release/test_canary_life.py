"""Whatever happens in whatever order: at most one canary, one live policy, and none promoted that was refused."""

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from chat import policies
from chat.models import Conversation, Policy, ShareOfChats
from rlhf import fsck
from rlhf.errors import CannotBeginCanary
from rlhf.models import Canary, Decision, Promotion, Run
from rlhf.release import canary, canary_rows, promotion
from tests.accounts.audit_faults import faults
from tests.rlhf import canaries

pytestmark = pytest.mark.django_db
State = Canary.State


class Life(RuleBasedStateMachine):
    """Begin, choose, refuse, promote another, stop, run out of time, in any order."""

    base = admin = folder = None

    def __init__(self):
        super().__init__()
        Canary.objects.all().delete()
        ShareOfChats.objects.all().delete()
        Promotion.objects.all().delete()
        Run.objects.all().delete()
        Conversation.objects.all().delete()
        Policy.objects.exclude(base=None).delete()
        Policy.objects.update(is_live=False)
        promotion.make_first_live(self.base)
        self.number, self.people = 0, 0
        self.candidate = self.new()
        self.asks_the_gate(passed=True)

    def new(self):
        self.number += 1
        return canaries.candidate(self.base, self.folder, f"m{self.number}")

    @rule(passed=st.booleans())
    def asks_the_gate(self, passed):
        canaries.decide(self.candidate, policies.live(), passed=passed)

    @rule(by_admin=st.booleans())
    def begins(self, by_admin):
        may = promotion.passed_decision(Policy.objects.get(pk=self.candidate.pk)) and not canary_rows.running()
        try:
            canaries.begun(self.candidate, actor=self.admin if by_admin else None)
        except CannotBeginCanary:
            assert not may
        else:
            assert may

    @rule(choice=st.sampled_from(["win", "lose", "tie"]), people=st.sampled_from([1, 8]))
    def chooses(self, choice, people):
        if running := canary_rows.running():
            canaries.many(running, choice, people, start=self.people)
            self.people += people

    @rule(choice=st.sampled_from(["win", "lose"]), is_refused_meanwhile=st.booleans())
    def decides(self, choice, is_refused_meanwhile):
        if canary_rows.running() is None:
            self.candidate = self.new()
            self.asks_the_gate(passed=True)
            self.begins(by_admin=False)
        running = canary_rows.running()
        self.chooses(choice, people=12)
        if is_refused_meanwhile:
            canaries.decide(running.policy, policies.live(), passed=False)
        canary.check()

    @rule()
    def looks(self):
        canary.check()

    @rule()
    def another_goes_live(self):
        promotion.force(self.new(), actor=self.admin, reason="now")

    @rule()
    def new_candidate(self):
        self.candidate = self.new()

    @rule()
    def stops(self):
        if running := canary_rows.running():
            canary.stop(running, actor=self.admin)

    @rule()
    def runs_out_of_time(self):
        Canary.objects.filter(state=State.RUNNING).update(until=timezone.now())
        canary.check()
        assert canary_rows.running() is None

    @invariant()
    def at_most_one_runs_and_has_the_share(self):
        assert Canary.objects.filter(state=State.RUNNING).count() <= 1
        assert list(fsck.shares_have_a_canary()) == []
        if running := canary_rows.running():
            assert running.baseline == policies.live()

    @invariant()
    def exactly_one_is_live_and_the_gate_stands(self):
        assert Policy.objects.filter(is_live=True).count() == 1
        assert list(fsck.live_was_allowed()) == []
        for row in Canary.objects.filter(state=State.PROMOTED):
            promoted = Promotion.objects.get(policy=row.policy, kind=Promotion.Kind.GATE)
            newest = Decision.objects.filter(evaluation__policy=row.policy, created_at__lt=promoted.created_at).last()
            assert newest is not None
            assert newest.passed
            assert promoted.previous == row.baseline


def test_in_any_order_it_keeps_its_promises(base_policy, admin, settings):
    settings.RLHF_KEEP_VERSIONS = 500
    Life.base, Life.admin, Life.folder = base_policy, admin, settings.MODELS_DIR
    run_state_machine_as_test(Life, settings=FEW)
    assert faults() == []


FEW = settings(
    max_examples=8,
    stateful_step_count=8,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)
