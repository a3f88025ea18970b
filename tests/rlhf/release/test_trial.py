"""A policy on trial: who puts it there, and what people's blind choices say of it."""

from datetime import timedelta

import pytest
import scipy.stats
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import AuditEntry
from chat.models import Policy
from feedback.models import Comparison
from rlhf.errors import AdminRequired, CannotTry
from rlhf.models import Evaluation, Run
from rlhf.release import promotion, trial
from tests.feedback.conversation_rows import make_pair
from tests.rlhf import feedback_rows
from tests.rlhf.policy_directories import write_policy

pytestmark = pytest.mark.django_db


@pytest.fixture
def candidate(base_policy, settings):
    from chat import policies

    return policies.register(write_policy(settings.MODELS_DIR / "heron-2"), name="heron-2", source="run:1")


def on_trial():
    return list(Policy.objects.filter(is_on_trial=True).values_list("name", flat=True))


def test_an_admin_puts_a_policy_on_trial_and_ends_it_each_with_an_entry(candidate, admin):
    trial.begin(candidate, actor=admin)
    assert on_trial() == ["heron-2"]
    trial.end(candidate, actor=admin)
    assert on_trial() == []
    entries = AuditEntry.objects.filter(verb="policy.trial").order_by("pk")
    assert [(entry.actor, entry.before["on_trial"], entry.after["on_trial"]) for entry in entries] == [
        (admin, None, "heron-2"),
        (admin, "heron-2", None),
    ]


def test_what_is_so_already_leaves_no_entry(candidate, admin):
    trial.end(candidate, actor=admin)
    trial.begin(candidate, actor=admin)
    trial.begin(candidate, actor=admin)
    assert AuditEntry.objects.filter(verb="policy.trial").count() == 1


def test_one_is_on_trial_at_a_time(candidate, admin):
    other = Policy.objects.create(name="wren-3", version=3, is_scripted=True)
    trial.begin(other, actor=admin)
    trial.begin(candidate, actor=admin)
    assert on_trial() == ["heron-2"]


def test_nobody_else_puts_a_policy_on_trial(candidate):
    with pytest.raises(AdminRequired):
        trial.begin(candidate, actor=feedback_rows.annotator("ann"))
    assert on_trial() == []


def test_the_live_policy_and_a_damaged_one_are_not_tried(base_policy, candidate, admin, settings):
    with pytest.raises(CannotTry):
        trial.begin(base_policy, actor=admin)
    (settings.MODELS_DIR / "heron-2/config.json").write_text("{}")
    with pytest.raises(CannotTry):
        trial.begin(candidate, actor=admin)
    assert on_trial() == []


def test_what_becomes_live_is_on_trial_no_more(candidate, admin):
    trial.begin(candidate, actor=admin)
    promotion.force(candidate, actor=admin, reason="it is better")
    assert on_trial() == []


def test_the_weights_of_the_policy_on_trial_are_kept(base_policy, candidate, admin, settings):
    settings.RLHF_KEEP_VERSIONS = 0
    Policy.objects.filter(pk=candidate.pk).update(base=base_policy)
    trial.begin(candidate, actor=admin)
    promotion.retire_old(base_policy, None)
    candidate.refresh_from_db()
    assert candidate.retired_at is None
    trial.end(candidate, actor=admin)
    promotion.retire_old(base_policy, None)
    candidate.refresh_from_db()
    assert candidate.retired_at is not None


def chosen(left, right, choice, name="carl", **fields):
    owner = feedback_rows.annotator(name)
    pair = make_pair(owner, policies=(left, right))
    return Comparison.objects.create(pair=pair, annotator=owner, choice=choice, **fields)


def test_choices_are_counted_from_either_side(base_policy, candidate):
    for left, right, choice in (
        (candidate, base_policy, "left"),
        (base_policy, candidate, "right"),
        (base_policy, candidate, "left"),
        (candidate, base_policy, "tie"),
        (base_policy, candidate, "both_bad"),
    ):
        chosen(left, right, choice)
    (record,) = trial.records(candidate)
    assert (record.against, record.wins, record.losses, record.ties, record.both_bad) == (base_policy, 2, 1, 1, 1)
    assert record.win_rate == pytest.approx(3 / 5)
    (other,) = trial.records(base_policy)
    assert (other.wins, other.losses) == (1, 2)
    assert other.win_rate == pytest.approx(2 / 5)


def test_what_does_not_count_is_left_out_and_told_apart(base_policy, candidate):
    chosen(candidate, base_policy, "left")
    chosen(candidate, base_policy, "right", discounted="identity")
    chosen(candidate, base_policy, "right", withdrawn_at=timezone.now())
    chosen(candidate, base_policy, "right", name="banned")
    banned = feedback_rows.annotator("banned")
    banned.suspended_until = timezone.now() + timedelta(days=1)
    banned.save()
    chosen(candidate, base_policy, "left", name="robot", is_simulated=True)
    chosen(candidate, candidate, "left")
    (record,) = trial.records(candidate)
    assert (record.wins, record.losses, record.discounted, record.simulated) == (2, 0, 1, 1)


@given(st.integers(1, 500), st.data())
def test_the_interval_is_scipy_s(n, data):
    hits = data.draw(st.integers(0, n))
    theirs = scipy.stats.binomtest(hits, n).proportion_ci(method="wilson")
    assert trial.wilson(hits, n) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_nothing_is_known_of_no_choices():
    assert trial.wilson(0, 0) == (0.0, 1.0)


def test_the_page_shows_the_figures_and_an_admin_sets_the_trial(base_policy, candidate, admin, client):
    for _ in range(3):
        chosen(candidate, base_policy, "left")
    client.force_login(admin)
    assert client.post("/training/policies/heron-2/trial/", {"is_on": "on"}).status_code == 302
    assert on_trial() == ["heron-2"]
    run = Run.objects.create(kind=Run.Kind.POLICY, base_policy=base_policy)
    evaluation = Evaluation.objects.create(run=run, policy=candidate, baseline=base_policy, report={})
    for address in ("/training/policies/heron-2/", f"/training/evaluations/{evaluation.pk}/"):
        page = client.get(address).content.decode()
        assert "100.0 %" in page
        assert "43.9 % – 100.0 %" in page
        assert "the share of such turns is 0 %" in page
    client.post("/training/policies/heron-2/trial/", {"is_on": ""})
    assert on_trial() == []
