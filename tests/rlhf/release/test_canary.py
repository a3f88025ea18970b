"""A canary begins on a pass alone, decides by people, and never makes a policy live that the gate refused."""

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import AuditEntry, Notice
from chat import policies
from chat.errors import PolicyAway
from chat.models import EngineProcess, Policy, ShareOfChats
from rlhf import fsck, tasks
from rlhf.errors import AdminRequired, CannotBeginCanary
from rlhf.models import Canary, Decision, Promotion
from rlhf.release import canary, canary_rows, promotion
from tests.rlhf import canaries, feedback_rows

pytestmark = pytest.mark.django_db
State, Why = Canary.State, Canary.Why


@pytest.fixture
def heron(base_policy, settings):
    return canaries.candidate(base_policy, settings.MODELS_DIR)


@pytest.fixture
def passed(heron, base_policy):
    return canaries.decide(heron, base_policy)


@pytest.fixture
def running(heron, passed):
    return canaries.begun(heron)


def ended():
    row = Canary.objects.get()
    return row.state, row.why


# --- begin and end ----------------------------------------------------------------------------------------------


def test_it_begins_with_a_share_of_the_chats_and_an_entry(heron, passed, admin, base_policy):
    made = canary.begin(heron, actor=admin, percent=20)
    share = ShareOfChats.objects.get()
    assert (share.policy, share.percent, share.pairs_percent) == (heron, 20, 25)
    assert (made.baseline, made.decision, made.state) == (base_policy, passed, State.RUNNING)
    entry = AuditEntry.objects.first()
    assert (entry.verb, entry.actor, entry.after["percent"]) == ("canary.begin", admin, 20)
    assert policies.live() == base_policy


def never_evaluated(heron, base_policy):
    Decision.objects.all().delete()


def refused_since(heron, base_policy):
    canaries.decide(heron, base_policy, passed=False)


def passed_against_another(heron, base_policy):
    wren = Policy.objects.create(name="wren-3", version=30)
    Policy.objects.filter(is_live=True).update(is_live=False)
    Policy.objects.filter(pk=wren.pk).update(is_live=True)


def forced(heron, base_policy):
    promotion.force(heron, actor=feedback_rows.annotator("root-admin"), reason="now")


@pytest.mark.parametrize("happens", [never_evaluated, refused_since, passed_against_another, forced])
def test_only_a_candidate_whose_newest_decision_passed_begins(heron, passed, base_policy, admin, happens):
    happens(heron, base_policy)
    heron.refresh_from_db()
    with pytest.raises(CannotBeginCanary):
        canary.begin(heron, actor=admin, percent=10)
    assert not Canary.objects.exists()
    assert not ShareOfChats.objects.exists()


@pytest.mark.parametrize("percent", [0, 101, -1])
def test_a_share_that_is_none_is_refused(heron, passed, percent):
    with pytest.raises(CannotBeginCanary, match="from 1 to 100"):
        canary.begin(heron, percent=percent)


def test_a_site_without_a_place_for_a_second_engine_is_told_so(heron, passed, settings):
    settings.CHAT_ENGINES = 1
    with pytest.raises(CannotBeginCanary, match="CHAMSAE_ENGINES"):
        canary.begin(heron, percent=10)


def test_where_a_server_elsewhere_has_one_model_nothing_is_compared(heron, passed, settings):
    settings.CHAT_ENGINE_URLS, settings.CHAT_ENGINE_MODEL = ["http://127.0.0.1:9/v1"], "other"
    with pytest.raises(CannotBeginCanary, match="other"):
        canary.begin(heron, percent=10)


def test_a_damaged_one_does_not_begin(heron, passed, settings):
    (settings.MODELS_DIR / "heron-2/config.json").write_text("{}")
    with pytest.raises(CannotBeginCanary):
        canary.begin(heron, percent=10)


def test_nobody_but_an_admin_begins_or_ends_one(heron, passed):
    ann = feedback_rows.annotator("ann")
    with pytest.raises(AdminRequired):
        canary.begin(heron, actor=ann, percent=10)
    made = canary.begin(heron, percent=10)
    with pytest.raises(AdminRequired):
        canary.stop(made, actor=ann)
    assert ended() == (State.RUNNING, "")


def test_one_runs_at_a_time(running, base_policy, settings):
    wren = canaries.candidate(base_policy, settings.MODELS_DIR, "wren-3")
    decision = canaries.decide(wren, base_policy)
    with pytest.raises(CannotBeginCanary, match="heron-2 answers"):
        canary.begin(wren, percent=10)
    with pytest.raises(IntegrityError), transaction.atomic():
        Canary.objects.create(policy=wren, decision=decision, percent=10, until=timezone.now())


def test_an_admin_ends_it_and_the_live_policy_answers_all(running, admin, base_policy):
    assert canary.stop(running, actor=admin)
    assert not canary.stop(running, actor=admin)
    assert ended() == (State.STOPPED, Why.STOPPED)
    assert not ShareOfChats.objects.exists()
    assert AuditEntry.objects.first().verb == "canary.end"
    assert policies.live() == base_policy


# --- what people decide -----------------------------------------------------------------------------------------


def test_people_who_prefer_it_promote_it(running, heron, base_policy):
    canaries.many(running, "win", 12)
    assert canary.check().state == State.PROMOTED
    assert ended() == (State.PROMOTED, Why.BETTER)
    made = Promotion.objects.first()
    assert (policies.live(), made.kind, made.previous, made.actor) == (heron, "gate", base_policy, None)
    assert not ShareOfChats.objects.exists()
    verbs = list(AuditEntry.objects.values_list("verb", flat=True)[:2])
    assert sorted(verbs) == ["canary.end", "policy.promote"]


def test_fewer_people_than_the_limit_promote_nothing(running):
    canaries.many(running, "win", 9)
    assert canary.check().state == State.RUNNING
    assert Canary.objects.get().figures["better"] > 20
    canaries.many(running, "win", 1, start=9)
    assert canary.check().state == State.PROMOTED


def test_people_who_prefer_the_live_one_withdraw_it(running, base_policy, admin):
    canaries.many(running, "lose", 7)
    assert canary.check().state == State.WITHDRAWN
    assert ended() == (State.WITHDRAWN, Why.WORSE)
    assert policies.live() == base_policy
    notice = Notice.objects.get(person=admin)
    assert "heron-2 no longer answers 10 % of the chats" in notice.text


def test_ties_decide_nothing_and_the_time_withdraws(running, base_policy):
    canaries.many(running, "tie", 30)
    assert canary.check().state == State.RUNNING
    Canary.objects.update(until=timezone.now())
    canary.check()
    assert ended() == (State.WITHDRAWN, Why.UNDECIDED)
    assert policies.live() == base_policy


def test_where_the_admin_wants_it_the_time_promotes(heron, passed):
    canaries.begun(heron, undecided="promote")
    Canary.objects.update(until=timezone.now())
    canary.check()
    assert ended() == (State.PROMOTED, Why.UNDECIDED)
    assert policies.live() == heron


# --- flags ------------------------------------------------------------------------------------------------------


def test_a_candidate_that_is_flagged_more_is_withdrawn_though_people_prefer_it(running, heron, base_policy):
    canaries.many(running, "win", 12)
    for number in range(9):
        canaries.reply(running, f"person-{number}", heron, hours=1, flagged_after=1)
        canaries.reply(running, f"person-{number}", base_policy, hours=2)
    canary.check()
    assert ended() == (State.WITHDRAWN, Why.FLAGS)
    assert Canary.objects.get().figures["flags"]["rise"] == 1.0
    assert policies.live() == base_policy


# --- what else ends it ------------------------------------------------------------------------------------------


def test_a_refusal_since_then_is_final_whatever_people_prefer(running, heron, base_policy):
    canaries.many(running, "win", 30)
    canaries.decide(heron, base_policy, passed=False)
    canary.check()
    assert ended() == (State.WITHDRAWN, Why.REFUSED)
    assert policies.live() == base_policy


def test_another_promotion_withdraws_it_at_once(running, base_policy, settings, admin):
    wren = canaries.candidate(base_policy, settings.MODELS_DIR, "wren-3")
    promotion.force(wren, actor=admin, reason="now")
    assert ended() == (State.WITHDRAWN, Why.LIVE_CHANGED)
    assert not ShareOfChats.objects.exists()


def test_an_admin_who_promotes_it_by_hand_ends_it(running, passed, admin):
    promotion.promote(passed, actor=admin)
    assert ended() == (State.STOPPED, Why.BY_HAND)
    assert not Notice.objects.filter(kind=Notice.Kind.GATE_REFUSED).exists()


def test_an_engine_that_keeps_failing_withdraws_it(running, heron):
    for error in ("engine_down: its process ended", canary.TALKER_GONE, "engine_down: it answered no probe"):
        EngineProcess.objects.create(policy=heron, state="dead", error=error)
    assert canary.check().state == State.RUNNING
    EngineProcess.objects.create(policy=heron, state="dead", error="bad_policy: no")
    canary.check()
    assert ended() == (State.WITHDRAWN, Why.ENGINE)


def test_files_that_are_away_for_a_while_withdraw_nothing(running, heron, monkeypatch):
    for _ in range(canary.FAILURES):
        EngineProcess.objects.create(policy=heron, state="dead", error=f"{PolicyAway.code}: no route")
    canaries.many(running, "win", 12)
    with monkeypatch.context() as patched:
        patched.setattr(policies, "fetched", away)
        assert canary.check().state == State.RUNNING
        with pytest.raises(PolicyAway):
            promotion.check_directory(heron)
    assert Canary.objects.get().figures["people"] == 12
    canary.check()
    assert ended() == (State.PROMOTED, Why.BETTER)


def away(policy):
    raise PolicyAway("no route")


def test_weights_that_were_damaged_meanwhile_are_not_promoted(running, base_policy, settings):
    canaries.many(running, "win", 12)
    (settings.MODELS_DIR / "heron-2/config.json").write_text("{}")
    canary.check()
    assert ended() == (State.WITHDRAWN, Why.UNFIT)
    assert policies.live() == base_policy


def test_its_weights_are_kept_while_it_runs(running, base_policy, heron, settings):
    EngineProcess.objects.update(state=EngineProcess.State.DEAD)
    settings.RLHF_KEEP_VERSIONS = 0
    promotion.retire_old(base_policy, None)
    heron.refresh_from_db()
    assert heron.retired_at is None
    canary_rows.end(running, State.STOPPED, Why.STOPPED)
    promotion.retire_old(base_policy, None)
    heron.refresh_from_db()
    assert heron.retired_at is not None


def test_nothing_is_decided_twice_and_without_one_nothing_is_done(running, admin):
    canaries.many(running, "lose", 7)
    assert tasks.check_canary() == "withdrawn"
    assert tasks.check_canary() is None
    assert Notice.objects.filter(person=admin).count() == 1


# --- cycles -----------------------------------------------------------------------------------------------------


def test_no_cycle_starts_by_itself_while_one_runs(judged, settings, running):
    settings.RLHF_CYCLE_AFTER = 1
    assert tasks.start_due_cycle() is None
    canary_rows.end(running, State.STOPPED, Why.STOPPED)
    assert tasks.start_due_cycle() is not None


def test_promises_hold_while_one_runs_and_after(running):
    assert list(fsck.shares_have_a_canary()) == []
    canary.check()
    ShareOfChats.objects.all().delete()
    assert "has no share" in next(fsck.shares_have_a_canary())
    canaries.many(running, "lose", 7)
    canary.check()
    assert list(fsck.shares_have_a_canary()) == []
