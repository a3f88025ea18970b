"""Trainings by a launcher, and what their run directories and processes tell about them."""

import threading
import time
from contextlib import contextmanager

import psutil
from django.db import connections

from rlhf.runs import cycle
from rlhf.runs.child_process import TrainingProcess
from rlhf.runs.supervisor import Supervisor


def train(path, **hyperparameters):
    return TrainingProcess("reward_model", path, {"hyperparameters": hyperparameters, "output": str(path / "rm")})


def wait_for(condition, seconds=30.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.03)


def starts(path):
    """(pid, step that it started from) of each process that trained."""
    if not (path / "starts").exists():
        return []
    return [tuple(map(int, line.split())) for line in (path / "starts").read_text().splitlines()]


def has_begun(path):
    return lambda: (path / "checkpoint" / "step").exists()


def is_gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@contextmanager
def driven_aside(run, seconds=40):
    """A supervisor in a thread of this process."""

    def drive():
        try:
            cycle.drive(run.pk, Supervisor())
        finally:
            connections.close_all()

    thread = threading.Thread(target=drive)
    thread.start()
    yield
    thread.join(seconds)
    assert not thread.is_alive()
    run.refresh_from_db()


def behave(run, **hyperparameters):
    run.config = {"hyperparameters": hyperparameters}
    run.save()
