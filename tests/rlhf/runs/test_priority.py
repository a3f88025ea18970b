"""The scheduling class and the niceness of real processes, every thread of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlhf.runs import child_process, priority

THREADED = """
import sys, threading
sys.stdin.readline()
held = threading.Barrier(4)
for _ in range(3):
    threading.Thread(target=lambda: (held.wait(), sys.stdin.read()), daemon=True).start()
held.wait()
print("ready", flush=True)
sys.stdin.read()
"""
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the scheduling class is Linux's")


@pytest.fixture
def threaded():
    """A process that starts three threads once it is told to."""
    process = subprocess.Popen(
        [sys.executable, "-c", THREADED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    yield process
    process.communicate()


def start_threads(process):
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "ready\n"
    return [int(entry.name) for entry in Path(f"/proc/{process.pid}/task").iterdir()]


@linux_only
def test_threads_that_come_later_have_only_the_time_that_is_left_over(threaded):
    priority.lower(threaded.pid, None)
    threads = start_threads(threaded)
    assert len(threads) == 4
    assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_IDLE}
    assert {os.getpriority(os.PRIO_PROCESS, thread) for thread in threads} == {19}


@linux_only
def test_threads_that_are_there_already_are_lowered_too(threaded):
    threads = start_threads(threaded)
    priority.lower(threaded.pid, None)
    assert len(threads) == 4
    assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_IDLE}


@linux_only
def test_its_session_is_lowered_where_linux_shares_time_between_sessions(threaded):
    session = Path(f"/proc/{threaded.pid}/autogroup")
    if not session.exists():
        pytest.skip("this kernel has no autogroups")
    priority.lower(threaded.pid, None)
    assert session.read_text().split()[-1] == "19"


def test_a_set_niceness_keeps_the_usual_class(threaded):
    priority.lower(threaded.pid, 7)
    assert os.getpriority(os.PRIO_PROCESS, threaded.pid) == 7
    if sys.platform == "linux":
        assert os.sched_getscheduler(threaded.pid) == os.SCHED_OTHER


def test_where_the_system_knows_no_such_class_it_has_the_lowest_priority(threaded, monkeypatch):
    monkeypatch.delattr(os, "SCHED_IDLE", raising=False)
    priority.lower(threaded.pid, None)
    assert os.getpriority(os.PRIO_PROCESS, threaded.pid) == 19


def test_one_that_has_ended_is_passed_over(threaded):
    threaded.communicate()
    priority.lower(threaded.pid, None)


@linux_only
@pytest.mark.parametrize("is_awaited", [False, True])
def test_a_training_has_what_the_setting_says_unless_somebody_waits_for_it(home, tmp_path, settings, is_awaited):
    settings.RLHF_NICENESS = None
    running = child_process.TrainingProcess("reward_model", tmp_path / "run", {}, is_awaited=is_awaited)
    try:
        assert os.sched_getscheduler(running.pid) == (os.SCHED_OTHER if is_awaited else os.SCHED_IDLE)
    finally:
        running.kill()
