"""The lease of a run is kept while its files are copied, also over a database that was away."""

import threading

import pytest
from django.db import connections
from django.db.utils import InterfaceError, OperationalError

from base import shared_state
from base.state_errors import StateAway
from chat.errors import PolicyAway
from chat.models import Policy
from rlhf.errors import ChildFailed, LeaseLost
from rlhf.models import Evaluation, Run
from rlhf.release import decision
from rlhf.runs import comparing, cycle, lease_keeper, leases, stages, supervisor
from rlhf.runs.lease_keeper import lease_kept
from rlhf.runs.supervisor import ProcessMonitor, Supervisor
from tests.base.shared_hosts import in_a_folder, on_host

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sharing(home, settings, tmp_path, monkeypatch):
    monkeypatch.setattr(lease_keeper, "EVERY_S", 0.01)
    with on_host(settings.HOME, in_a_folder(tmp_path / "bucket")):
        yield


@pytest.fixture
def driver():
    return Supervisor()


@pytest.fixture
def run(sharing, driver):
    return leases.claim(Run.objects.create(kind=Run.Kind.REWARD_MODEL).pk, driver.owner)


class Renewals:
    """Of `leases.renew`: the first ones end in these errors."""

    def __init__(self, monkeypatch, *errors):
        self.errors, self.reached = list(errors), threading.Event()
        self.closed = 0
        monkeypatch.setattr(leases, "renew", self.renew)
        monkeypatch.setattr(connections, "close_all", self.close)

    def renew(self, run, owner):
        if self.errors:
            raise self.errors.pop(0)
        self.reached.set()

    def close(self):
        self.closed += 1


@pytest.mark.parametrize("error", [InterfaceError("connection already closed"), OperationalError("gone away")])
def test_it_survives_a_database_that_was_away_by_a_new_connection(run, driver, monkeypatch, error):
    renewals = Renewals(monkeypatch, error)
    with lease_kept(run, driver.owner):
        assert renewals.reached.wait(10)
        assert renewals.closed == 1


def test_it_ends_where_the_lease_is_another_s(run, driver, monkeypatch):
    renewals = Renewals(monkeypatch, LeaseLost(run.pk))
    with lease_kept(run, driver.owner):
        assert not renewals.reached.wait(0.2)


class Ended:
    """A process that has ended so."""

    def __init__(self, directory, error=None):
        self.directory, self.error = directory, error

    def result(self):
        if self.error is not None:
            raise self.error
        return {}


def test_it_is_kept_while_the_log_of_a_failed_run_is_published(run, driver, monkeypatch):
    def publish_log(run):
        assert renewals.reached.wait(10)
        raise StateAway("no route")

    renewals = Renewals(monkeypatch)
    monkeypatch.setattr(stages, "publish_log", publish_log)
    supervisor._record_end(ProcessMonitor(driver, run, Ended(run.path, ChildFailed(1, "no data"))))
    run.refresh_from_db()
    assert (run.state, run.error) == (Run.State.FAILED, "no data")


@pytest.mark.parametrize("error", [StateAway("no route"), PolicyAway("no route"), OSError("no space left")])
def test_what_could_not_be_published_fails_the_run_and_says_why(run, driver, monkeypatch, error):
    def fail(*given):
        raise error

    monkeypatch.setattr(stages, "collect", fail)
    supervisor._record_end(ProcessMonitor(driver, run, Ended(run.path)))
    run.refresh_from_db()
    assert (run.state, run.error) == (Run.State.FAILED, str(error))


def test_it_is_kept_while_the_gate_brings_weights(run, driver, monkeypatch):
    def conclude(cycle, stages):
        renewals.reached.clear()
        assert renewals.reached.wait(10)
        return {"gate": "asked"}

    renewals = Renewals(monkeypatch)
    monkeypatch.setattr(comparing, "has_to_wait", lambda cycle, evaluated: False)
    monkeypatch.setattr(decision, "conclude", conclude)
    policy = Policy.objects.create(name="wren", version=1)
    evaluated = Run.objects.create(kind=Run.Kind.EVALUATION)
    Evaluation.objects.create(run=evaluated, policy=policy, baseline=policy, judge="test", report={})
    cycle._decide_or_wait(run, {Run.Kind.EVALUATION: evaluated}, driver)
    run.refresh_from_db()
    assert (run.state, run.result) == (Run.State.SUCCEEDED, {"gate": "asked"})


def test_without_shared_state_nothing_is_copied_and_nothing_renewed(home, monkeypatch):
    renewals = Renewals(monkeypatch)
    monkeypatch.setattr(lease_keeper, "EVERY_S", 0.01)
    assert not shared_state.is_on()
    with lease_kept(Run(pk=1), "somebody"):
        assert not renewals.reached.wait(0.1)
