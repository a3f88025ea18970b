"""A Ray cluster of a head and two machines of one core each, all of them here: cycles, cancels, losses.

Skipped where there is no `ray` on the path; the environment of the tests need not be the one that has it.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time

import httpx
import psutil
import pytest

from rlhf.models import Run
from rlhf.runs import cycle, leases
from rlhf.runs.child_process import TrainingProcess
from rlhf.runs.supervisor import Supervisor
from tests.rlhf.runs.trainings import behave, driven_aside, has_begun, is_gone, starts, train, wait_for
from tests.rlhf.training.shared_trainings import Trainings

RAY = shutil.which("ray")
TRIES, IS_UP = 4, "Ray runtime started."
pytestmark = [
    pytest.mark.loops,
    pytest.mark.timeout(900),
    pytest.mark.skipif(RAY is None, reason="no ray on the path"),
    pytest.mark.django_db(transaction=True),
]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def started(folder, name, *arguments):
    with (folder / f"{name}.log").open("wb") as log:
        command = [RAY, "start", "--block", "--disable-usage-stats", *arguments]
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def answers(ask):
    try:
        return ask().is_success
    except httpx.HTTPError:
        return False


def end(process):
    """And its children, each of which has a session of its own."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
    process.wait()


class Cluster:
    def __init__(self, folder):
        self.folder, self.processes = folder, []
        port, site = free_port(), free_port()
        self.head, self.address = f"127.0.0.1:{port}", f"http://127.0.0.1:{site}"
        here = ("--port", str(port), "--dashboard-host", "127.0.0.1", "--dashboard-port", str(site))
        files = ("--temp-dir", f"/tmp/ray-{os.getpid()}")  # a path of a socket is at most 107 bytes long
        self.processes.append(started(folder, "head", "--head", "--num-cpus", "0", *here, *files))
        wait_for(lambda: answers(lambda: httpx.get(f"{self.address}/api/version")), 120)

    def add_machine(self):
        """Ray gives one up that takes longer than 30 s to start."""
        for attempt in range(TRIES):
            name = f"machine-{len(self.processes)}-{attempt}"
            process = started(self.folder, name, "--address", self.head, "--num-cpus", "1")
            log = self.folder / f"{name}.log"
            wait_for(lambda process=process, log=log: process.poll() is not None or IS_UP in log.read_text(), 120)
            if process.poll() is None:
                self.processes.append(process)
                return
        raise AssertionError("no machine starts")

    def jobs(self):
        return httpx.get(f"{self.address}/api/jobs/", timeout=30).json()

    def going(self):
        return [job for job in self.jobs() if job["status"] in ("PENDING", "RUNNING")]

    def lose_machine_of(self, pid):
        """Its raylet is gone at once; what it had started is not, as behind a network that broke."""
        (raylet,) = (one for one in psutil.Process(pid).parents() if one.name() == "raylet")
        raylet.kill()

    def end(self):
        for process in reversed(self.processes):
            end(process)
        shutil.rmtree(f"/tmp/ray-{os.getpid()}", ignore_errors=True)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    made = Cluster(tmp_path_factory.mktemp("ray"))
    try:
        made.add_machine()
        made.add_machine()
        yield made
    finally:
        made.end()


@pytest.fixture
def ray(cluster, settings, home, monkeypatch):
    monkeypatch.setattr("rlhf.runs.supervisor.GRACE_S", 20.0)
    settings.RLHF_LAUNCHER, settings.RLHF_RAY_ADDRESS = "ray", cluster.address
    return cluster


@pytest.fixture
def stage(base_policy, ray):
    from rlhf.snapshots import freezing
    from tests.rlhf import feedback_rows

    feedback_rows.plenty(feedback_rows.annotator("ann"))
    return Run.objects.create(kind=Run.Kind.REWARD_MODEL, snapshot=freezing.freeze(), base_policy=base_policy)


def test_a_real_training_ends_by_a_job(ray, settings, tmp_path, tiny_policy):
    settings.RLHF_TRAINER = [sys.executable, "-m", "rlhf.training"]
    config = Trainings(tmp_path / "trainings", tiny_policy).config("sft", tmp_path / "run", "llama")
    process = TrainingProcess("policy", tmp_path / "run", config)
    assert process.result()["launcher"] == "ray", (tmp_path / "run" / "log.txt").read_text()
    assert process.new_metrics()


def last_run(path):
    return starts(path)[-1][0]


def test_a_cycle_ends_by_jobs(ray, judged):
    run = cycle.start(seed=1)
    cycle.drive(run.pk, Supervisor())
    run.refresh_from_db()
    assert (run.state, run.error) == (Run.State.SUCCEEDED, "")
    ended = {job["metadata"]["run_directory"]: job["status"] for job in ray.jobs()}
    assert [ended[str(stage.path)] for stage in run.stages.all()] == ["SUCCEEDED"] * run.stages.count()


def test_a_cancel_reaches_the_job(stage, ray):
    behave(stage, steps=50_000)
    with driven_aside(stage):
        wait_for(has_begun(stage.path), 120)
        leases.cancel(stage)
    assert (stage.state, stage.error) == (Run.State.CANCELLED, "")
    assert is_gone(last_run(stage.path))
    wait_for(lambda: not ray.going(), 60)


def test_a_job_that_was_left_behind_has_ended_before_the_next_begins(ray, settings):
    path = settings.RUNS_DIR / "7"
    first = train(path, steps=50_000)
    wait_for(has_begun(path), 120)
    first.kill()
    second = train(path, steps=50_000)
    wait_for(lambda: len(starts(path)) == 2, 120)
    (old, _), (_, resumed_from) = starts(path)
    assert is_gone(old)
    assert resumed_from > 0
    assert len(ray.going()) == 1
    assert second.stop_within(30) == 75
    wait_for(lambda: not ray.going(), 60)


def test_a_run_whose_machine_is_lost_goes_on_by_the_other(stage, ray):
    behave(stage, steps=1500, seconds_a_step=0.02)
    began = time.monotonic()
    with driven_aside(stage, 400):
        wait_for(has_begun(stage.path), 120)
        ray.lose_machine_of(last_run(stage.path))
    assert (stage.state, stage.error) == (Run.State.SUCCEEDED, ""), time.monotonic() - began
    (old, first), (_, second) = starts(stage.path)
    assert first == 0 < second
    assert is_gone(old)
