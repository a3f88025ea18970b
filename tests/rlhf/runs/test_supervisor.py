"""Kills, cancels and silences of real processes: the run goes on or says why not, and nobody outlives it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import psutil
import pytest
from django.db import connection, connections
from django.db.backends.utils import CursorWrapper
from django.db.utils import OperationalError

from chat import policies
from rlhf import tasks
from rlhf.errors import LeaseLost, TrainerStillAlive
from rlhf.models import Run
from rlhf.runs import child_process, cycle, leases, supervisor
from rlhf.runs.supervisor import Supervisor
from rlhf.training.model.choice import Placement
from tests.rlhf import feedback_rows

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stage(base_policy):
    """A reward model run that waits for a supervisor."""
    from rlhf.snapshots import freezing

    feedback_rows.plenty(feedback_rows.annotator("ann"))
    return make_stage(freezing.freeze(), base_policy)


def make_stage(snapshot, base_policy, **hyperparameters):
    return Run.objects.create(
        kind=Run.Kind.REWARD_MODEL,
        snapshot=snapshot,
        base_policy=base_policy,
        config={"hyperparameters": hyperparameters},
    )


def behave(run, **hyperparameters):
    run.config = {"hyperparameters": hyperparameters}
    run.save()


def starts(run):
    """(pid, step that it started from) of each child that the run had."""
    lines = (run.path / "starts").read_text().splitlines()
    return [tuple(map(int, line.split())) for line in lines]


def wait_for(condition, seconds=15.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.03)


def is_gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@contextmanager
def driven_aside(run):
    """A supervisor in a thread of this process."""

    def drive():
        try:
            cycle.drive(run.pk, Supervisor())
        finally:
            connections.close_all()

    thread = threading.Thread(target=drive)
    thread.start()
    yield thread
    thread.join(20)
    assert not thread.is_alive()
    run.refresh_from_db()


@pytest.fixture
def worker(settings):
    """Starts supervisors as processes of their own, on this test's database and directories."""
    started = []

    def start(run):
        code = WORKER.format(
            database=connection.settings_dict["NAME"],
            trainer=settings.RLHF_TRAINER,
            models=str(settings.MODELS_DIR),
            runs=str(settings.RUNS_DIR),
            run=run.pk,
        )
        process = subprocess.Popen([sys.executable, "-c", code], cwd=settings.BASE_DIR)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


WORKER = """
import os, pathlib
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django
from django.conf import settings
from datetime import timedelta
settings.DATABASES["default"]["NAME"] = {database!r}
settings.RLHF_TRAINER, settings.RLHF_THREADS, settings.RLHF_LEASE = {trainer!r}, 1, timedelta(seconds=1)
settings.MODELS_DIR, settings.RUNS_DIR = pathlib.Path({models!r}), pathlib.Path({runs!r})
django.setup()
from rlhf.runs import cycle, supervisor
supervisor.HEARTBEAT_S = 0.1
cycle.drive({run}, supervisor.Supervisor())
"""


def test_a_failure_is_told_in_the_childs_own_words(stage):
    behave(stage, behaviour="fail")
    run = Supervisor().run_stage(stage.pk)
    assert (run.state, run.error, run.attempt) == (Run.State.FAILED, "kl_blow_up: KL 31 nats", 1)


def test_a_child_without_a_result_has_failed(stage):
    behave(stage, behaviour="silent_success")
    run = Supervisor().run_stage(stage.pk)
    assert run.state == Run.State.FAILED
    assert "left no result" in run.error


def test_a_killed_child_is_started_again_from_its_checkpoint(stage):
    """However often, as long as each start gets it further: a machine that is switched off every evening."""
    behave(stage, behaviour="crash", steps=5)  # kills itself after each step; the checkpoint says how far it came
    run = Supervisor().run_stage(stage.pk)
    assert [step for _, step in starts(run)] == [0, 1, 2, 3, 4, 5]
    assert run.state == Run.State.SUCCEEDED
    assert not (run.path / "checkpoint").exists(), "nobody goes on from there any more"


def test_a_child_that_gets_no_further_is_given_up(stage):
    behave(stage, behaviour="stuck", steps=3)
    run = Supervisor().run_stage(stage.pk)
    assert [step for _, step in starts(run)] == [0, 0, 0, 0]  # the first got it to step 1
    assert run.state == Run.State.FAILED
    assert run.error.startswith("given up after 3 starts; the last: killed by SIGKILL")


def test_a_start_that_got_on_is_not_counted_when_its_supervisor_dies(stage, worker):
    behave(stage, steps=400, seconds_a_step=0.05)
    for _ in range(leases.MAX_ATTEMPTS + 1):
        first = worker(stage)
        before = stage.metrics.count()
        wait_for(lambda before=before: stage.metrics.count() > before + 3)
        wait_for(lambda: Run.objects.get(pk=stage.pk).attempt == 1)
        first.kill()
        first.wait()
        wait_for(lambda: leases.take_over_silent() and Run.objects.get(pk=stage.pk).state == Run.State.QUEUED)
    assert leases.cancel(Run.objects.get(pk=stage.pk))


def test_a_run_that_is_killed_once_ends_well(stage):
    behave(stage, steps=25, seconds_a_step=0.04)
    with driven_aside(stage):
        wait_for(lambda: (stage.path / "checkpoint/step").exists())
        os.kill(starts(stage)[0][0], signal.SIGKILL)
    assert stage.state == Run.State.SUCCEEDED
    (first, _), (second, resumed_from) = starts(stage)
    assert first != second
    assert resumed_from > 0
    assert list(stage.metrics.values_list("step", flat=True)) == list(range(1, 26))


def test_cancel_ends_in_a_checkpoint_and_resume_goes_on_from_it(stage, admin):
    behave(stage, steps=200, seconds_a_step=0.03)
    with driven_aside(stage):
        wait_for(lambda: stage.metrics.exists())
        assert cycle.cancel(stage, actor=admin)
    assert (stage.state, stage.error, stage.pid) == (Run.State.CANCELLED, "", None)
    behave(stage, steps=20, seconds_a_step=0.01)
    cycle.resume(stage, actor=admin)
    assert Supervisor().run_stage(stage.pk).state == Run.State.SUCCEEDED
    assert starts(stage)[1][1] > 0


class Outage:
    """While it lasts, no thread but the test's own gets anything from the database."""

    def __init__(self, monkeypatch):
        self.lasts, self.refused = False, 0
        self._test = threading.get_ident()
        for name in ("execute", "executemany"):
            monkeypatch.setattr(CursorWrapper, name, self._unless_away(getattr(CursorWrapper, name)))

    def _unless_away(self, ask):
        def refuse_or_ask(cursor, *args, **kwargs):
            if self.lasts and threading.get_ident() != self._test:
                self.refused += 1
                raise OperationalError("server closed the connection unexpectedly")
            return ask(cursor, *args, **kwargs)

        return refuse_or_ask


@pytest.mark.parametrize(("steps", "pause"), [(10, 0.3), (40, 0.05)], ids=["it ends meanwhile", "it goes on after"])
def test_a_database_that_is_away_costs_a_training_nothing(stage, monkeypatch, steps, pause):
    monkeypatch.setattr(supervisor, "RETRY_S", 0.05)
    monkeypatch.setattr(supervisor, "HEARTBEAT_S", 0.1)
    outage = Outage(monkeypatch)
    behave(stage, steps=steps, seconds_a_step=pause)
    with driven_aside(stage):
        wait_for(lambda: stage.metrics.exists())
        outage.lasts = True
        wait_for(lambda: int((stage.path / "checkpoint/step").read_text()) >= 10)
        wait_for(lambda: outage.refused > 5)
        outage.lasts = False
    assert (stage.state, stage.error) == (Run.State.SUCCEEDED, "")
    assert [step for _, step in starts(stage)] == [0], "it was never started again"
    assert list(stage.metrics.values_list("step", flat=True)) == list(range(1, steps + 1))


def test_a_child_that_ignores_the_request_is_killed(stage):
    behave(stage, behaviour="deaf", steps=1000, seconds_a_step=0.05)
    with driven_aside(stage):
        wait_for(lambda: stage.metrics.exists())
        leases.cancel(stage)
    assert stage.state == Run.State.CANCELLED
    assert is_gone(starts(stage)[0][0])


def test_a_child_without_a_sign_of_life_is_ended(stage, monkeypatch):
    monkeypatch.setattr(supervisor, "SILENCE_S", 0.5)
    behave(stage, behaviour="mute", steps=1000, seconds_a_step=0.1)
    run = Supervisor().run_stage(stage.pk)
    assert run.state == Run.State.FAILED
    assert run.error.startswith("no sign of life")
    assert is_gone(starts(run)[0][0])


def test_a_second_supervisor_leaves_a_run_alone(stage):
    behave(stage, steps=20, seconds_a_step=0.03)
    with driven_aside(stage):
        wait_for(lambda: stage.metrics.exists())
        assert Supervisor().run_stage(stage.pk).state == Run.State.RUNNING
    assert stage.state == Run.State.SUCCEEDED
    assert len(starts(stage)) == 1


def test_no_two_trainers_on_one_directory(stage):
    config = {
        "hyperparameters": {"steps": 100, "seconds_a_step": 0.1},
        "output": str(stage.path / "rm"),
        "threads": 1,
    }
    first = child_process.TrainingProcess("reward_model", stage.path, config)
    with pytest.raises(TrainerStillAlive):
        child_process.TrainingProcess("reward_model", stage.path, config)
    wait_for((stage.path / "starts").exists)
    assert first.stop_within(5) == child_process.CHECKPOINTED


def test_a_trainer_is_told_how_and_where_its_models_are_computed(stage, settings):
    settings.RLHF_PLACEMENT = {**settings.RLHF_PLACEMENT, "backend": "transformers", "dtype": "fp32"}
    config = {"hyperparameters": {"steps": 100, "seconds_a_step": 0.1}, "output": str(stage.path / "rm")}
    started = child_process.TrainingProcess("reward_model", stage.path, config)
    started.kill()
    told = json.loads((stage.path / "config.json").read_text())
    assert Placement.read(told) == Placement(backend="transformers", device="cpu", dtype="fp32")


def test_a_trainer_is_found_whose_supervisor_died_before_it_told_the_number(stage):
    behave(stage, steps=2)
    config = {
        "hyperparameters": {"steps": 1000, "seconds_a_step": 0.1},
        "output": str(stage.path / "rm"),
        "threads": 1,
    }
    left = child_process.TrainingProcess("reward_model", stage.path, config)
    assert stage.pid is None
    reaper = threading.Thread(target=left.process.wait)  # as init does for a process without a parent
    reaper.start()
    wait_for((stage.path / "starts").exists)
    run = Supervisor().run_stage(stage.pk)
    reaper.join(10)
    left.close()
    assert (run.state, run.error) == (Run.State.SUCCEEDED, "")
    assert len(starts(run)) == 2


def test_a_supervisor_that_lost_its_lease_ends_its_child(stage, settings):
    behave(stage, steps=1000, seconds_a_step=0.05)
    errors = []

    def drive():
        try:
            Supervisor().run_stage(stage.pk)
        except LeaseLost as error:
            errors.append(error)
        connections.close_all()

    thread = threading.Thread(target=drive)
    thread.start()
    wait_for(lambda: stage.metrics.exists())
    Run.objects.filter(pk=stage.pk).update(owner="another")
    thread.join(10)
    assert len(errors) == 1
    assert is_gone(starts(stage)[0][0])
    stage.refresh_from_db()
    assert (stage.owner, stage.state) == ("another", Run.State.RUNNING)


@pytest.mark.parametrize("killed", ["worker", "both"])
def test_a_run_whose_worker_was_killed_is_taken_over(judged_cycle, worker, killed, no_worker, base_policy):
    run = judged_cycle
    process = worker(run)
    wait_for(lambda: run.stages.exists() and (run.stages.first().path / "checkpoint/step").exists(), 30)
    first_stage = run.stages.get(stage="reward_model")
    pid = starts(first_stage)[0][0]
    process.kill()
    process.wait()
    if killed == "both":
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: is_gone(pid), 5)  # by the end of the pipe, within a step
    assert policies.live() == base_policy
    wait_for(lambda: tasks.reap_runs() == [run.pk], 5)
    assert no_worker == [run.pk]
    hurry(first_stage)
    done = cycle.drive(run.pk, Supervisor())
    assert (done.state, done.error) == (Run.State.SUCCEEDED, "")
    assert starts(first_stage)[1][1] > 0
    assert policies.live() != base_policy


@pytest.fixture
def judged_cycle(judged):
    slow = {"steps": 400, "seconds_a_step": 0.05}
    return cycle.start(hyperparameters={"reward_model": slow})


def hurry(stage):
    stage.refresh_from_db()
    behave(stage, steps=5)


def test_the_child_does_not_inherit_secrets(monkeypatch):
    monkeypatch.setenv("CHAMSAE_SECRET_KEY", "x" * 50)
    monkeypatch.setenv("DATABASE_URL", "postgres://u:p@h/d")
    inherited = child_process.environment(2)
    assert not {"CHAMSAE_SECRET_KEY", "DATABASE_URL"} & set(inherited)
    assert inherited["OMP_NUM_THREADS"] == "2"


@pytest.mark.parametrize(("stage", "told"), [("reward_model", None), ("fetch", "hf_gated")])
def test_only_what_fetches_a_model_has_the_hub_s_token(tmp_path, monkeypatch, settings, stage, told):
    monkeypatch.setenv("HF_TOKEN", "hf_gated")
    tells = "import json, os, sys; json.dump(os.environ.get('HF_TOKEN'), open(sys.argv[2] + '/told.json', 'w'))"
    settings.RLHF_TRAINER = [sys.executable, "-c", tells]
    process = child_process.TrainingProcess(stage, tmp_path, {})
    assert process.process.wait(30) == 0
    process.close()
    assert json.loads((tmp_path / "told.json").read_text()) == told


def test_what_fetches_a_model_has_no_token_of_a_cluster(tmp_path, monkeypatch, settings):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "opens the cluster")
    settings.RLHF_LAUNCHER = "ray"
    tells = "import json, os, sys; json.dump(os.environ.get('RAY_AUTH_TOKEN'), open(sys.argv[2] + '/told.json', 'w'))"
    settings.RLHF_TRAINER = [sys.executable, "-c", tells]
    process = child_process.TrainingProcess("fetch", tmp_path, {})
    assert process.process.wait(30) == 0
    process.close()
    assert json.loads((tmp_path / "told.json").read_text()) is None


def test_a_process_of_another_user_is_left_alone(tmp_path, monkeypatch):
    def refuse(*_):
        raise psutil.AccessDenied

    left = subprocess.Popen([sys.executable, "-c", "input()", str(tmp_path)], stdin=subprocess.PIPE)
    try:
        wait_for(lambda: psutil.Process(left.pid).cmdline()[-1:] == [str(tmp_path)])
        with monkeypatch.context() as patched:
            patched.setattr(psutil.Process, "terminate", refuse)
            child_process.end_leftovers(tmp_path)
        assert left.poll() is None
    finally:
        left.kill()
        left.communicate()


def test_threads_are_the_cores_that_nobody_uses(monkeypatch, settings):
    settings.RLHF_THREADS = 0
    monkeypatch.setattr(child_process, "usable_cores", lambda: 4)
    monkeypatch.setattr(child_process.psutil, "cpu_count", lambda: 4)
    for busy_percent, free in [(0, 4), (25, 3), (60, 2), (100, 1)]:
        monkeypatch.setattr(child_process.psutil, "cpu_percent", lambda interval, busy=busy_percent: busy)
        assert child_process.free_threads() == free
