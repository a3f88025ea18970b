"""Trainings that several processes share, as the supervisor sees them: one process to stop, to kill and to lock."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from rlhf.errors import TrainerStillAlive
from rlhf.runs import launchers
from rlhf.runs.child_process import CHECKPOINTED, TrainingProcess, end_leftovers
from tests.rlhf.training.shared_trainings import SFT, Trainings

LONG = SFT | {"n_epochs": 5000}


def test_by_default_a_training_is_one_process(settings):
    settings.RLHF_TRAINER = ["trainer"]
    assert launchers.command("policy", Path("/run")) == ["trainer", "policy", "/run"]


def test_accelerate_is_given_its_file_and_the_directory_last(settings):
    settings.RLHF_LAUNCHER, settings.RLHF_ACCELERATE_CONFIG = "accelerate", "/etc/accelerate.yaml"
    command = launchers.command("policy", Path("/run"))
    assert command == [
        sys.executable, "-m", "rlhf.training.launch", "--config", "/etc/accelerate.yaml", "policy", "/run",
    ]  # fmt: skip


def wait_for(condition, seconds=180.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.05)


def alive(path):
    """Processes on this run directory."""
    found = psutil.process_iter(["cmdline", "status"])
    return [
        one
        for one in found
        if (one.info["cmdline"] or [""])[-1] == str(path) and one.info["status"] != psutil.STATUS_ZOMBIE
    ]


def steps(path):
    metrics = path / "metrics.jsonl"
    return len(metrics.read_text().splitlines()) if metrics.exists() else 0


@pytest.fixture
def started(settings, tmp_path, tiny_policy):
    """A long training by two processes that has begun; (it, its directory, its configuration)."""
    file = tmp_path / "accelerate.yaml"
    file.write_text(
        json.dumps(
            {
                "compute_environment": "LOCAL_MACHINE",
                "distributed_type": "MULTI_CPU",
                "mixed_precision": "no",
                "debug": False,
                "use_cpu": True,
                "num_processes": 2,
            }
        )
    )
    settings.RLHF_LAUNCHER, settings.RLHF_ACCELERATE_CONFIG = "accelerate", str(file)
    settings.RLHF_NICENESS = 0
    path = tmp_path / "run"
    trainings = Trainings(tmp_path / "trainings", tiny_policy)
    config = trainings.config("sft", path, "llama") | {"hyperparameters": LONG}
    process = TrainingProcess("policy", path, config)
    try:
        wait_for(lambda: steps(path) >= 2)
        assert len(alive(path)) == 3  # the launcher and its two
        yield process, path, config
    finally:
        process.kill()


@pytest.mark.loops
@pytest.mark.timeout(600)
def test_a_stop_ends_all_processes_with_one_checkpoint(started):
    process, path, _ = started
    process.stop()
    assert process.process.wait(180) == CHECKPOINTED, (path / "log.txt").read_text()
    assert not alive(path)
    assert list((path / "checkpoint" / "fit").glob("iteration-*"))
    assert not (path / "error.json").exists()


@pytest.mark.loops
@pytest.mark.timeout(600)
def test_a_kill_reaches_all_processes(started):
    process, path, _ = started
    process.kill()
    wait_for(lambda: not alive(path))


@pytest.mark.loops
@pytest.mark.timeout(600)
def test_processes_end_with_the_supervisor(started):
    process, path, _ = started
    process.close()
    assert process.process.wait(180) == CHECKPOINTED, (path / "log.txt").read_text()
    assert not alive(path)


@pytest.mark.loops
@pytest.mark.timeout(600)
def test_processes_whose_launcher_died_hold_the_lock_and_are_ended_before_the_next_start(started):
    process, path, config = started
    process.process.kill()
    process.process.wait()
    assert len(alive(path)) == 2
    with pytest.raises(TrainerStillAlive):
        TrainingProcess("policy", path, config)
    alive(path)[0].suspend()  # one that does not end by itself
    end_leftovers(path, patience_s=2)
    wait_for(lambda: not alive(path))


@pytest.mark.parametrize("missing", [ProcessLookupError, psutil.NoSuchProcess(1)])
def test_a_leftover_that_ends_while_it_is_ended_is_no_error(tmp_path, monkeypatch, missing):
    def is_gone(number):
        raise missing

    leftover = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()", str(tmp_path)], stdin=subprocess.PIPE
    )
    wait_for(lambda: alive(tmp_path))
    monkeypatch.setattr(psutil.Process, "terminate", lambda process: None)
    monkeypatch.setattr(os, "getpgid", is_gone)
    try:
        end_leftovers(tmp_path, patience_s=0.01)
    finally:
        leftover.communicate()
