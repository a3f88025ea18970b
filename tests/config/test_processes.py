"""Children are restarted, logged, and never outlive the site: neither its stop nor its sudden death."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from config import reaper
from config.processes import Child, PortInUse, Processes, SiteRunning, claim_port, only_site_of

STUBBORN = (
    "import signal, subprocess, sys, time;"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "subprocess.Popen([sys.executable, '-c', 'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    " time.sleep(60)'], start_new_session=True, stdout=subprocess.DEVNULL);"
    "print('up'); time.sleep(60)"
)
SUPERVISOR = """
import sys
from pathlib import Path
from config.processes import Processes, only_site_of
home = Path(sys.argv[1])
with only_site_of(home, 1) as marker:
    site = Processes(marker, home, lambda name, line: print(marker, line, flush=True))
    site.add("stubborn", [sys.executable, "-c", sys.argv[2]], {})
    while True:
        site.tick()
"""


def until(condition, timeout_s=10.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def heard():
    return []


@pytest.fixture
def site(tmp_path, heard):
    processes = Processes("test-" + tmp_path.name, tmp_path, lambda name, line: heard.append((name, line)))
    yield processes
    processes.end(grace_s=0.5)


def run_until(site, condition, timeout_s=10.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        site.tick()


def python(code):
    return [sys.executable, "-c", code]


def test_lines_of_a_child_reach_the_terminal_and_its_log(site, tmp_path, heard):
    site.add("web", python("print('hello'); import time; time.sleep(30)"), {})
    run_until(site, lambda: ("web", "hello") in heard)
    assert (tmp_path / "web.log").read_text() == "hello\n"


def test_a_child_that_dies_is_started_again_and_waits_longer_each_time(site, heard, monkeypatch):
    monkeypatch.setattr("config.processes.BACKOFF_S", (0.0, 0.1, 0.2))
    child = site.add("worker", python("raise SystemExit(7)"), {})
    run_until(site, lambda: child.deaths >= 3)
    said = [line for name, line in heard if "exited with code 7" in line]
    assert [line.split("restarting in ")[1].split(" s")[0] for line in said[:3]] == ["0", "0.1", "0.2"]


def test_a_long_life_resets_the_back_off(monkeypatch):
    child = Child("web", [], {}, deaths=4, started_at=time.monotonic() - 3600)
    assert child.note_death(1) == 1.0


def test_a_child_that_closes_its_output_is_still_watched(site):
    child = site.add("talker", python("import os, time; os.close(1); os.close(2); time.sleep(0.3)"), {})
    run_until(site, lambda: child.deaths == 1)


def test_a_stop_ends_grandchildren_in_sessions_of_their_own_even_if_they_ignore_sigterm(tmp_path):
    processes = Processes("stop-" + tmp_path.name, tmp_path, lambda name, line: None)
    processes.add("stubborn", python(STUBBORN), {})
    run_until(processes, lambda: len(reaper.marked(processes.marker)) == 2)
    started = time.monotonic()
    processes.end(grace_s=1.0)
    assert reaper.marked(processes.marker) == []
    assert time.monotonic() - started < 5


def test_nothing_outlives_a_supervisor_that_was_killed(tmp_path):
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(tmp_path), STUBBORN],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    marker = supervisor.stdout.readline().split()[0]
    until(lambda: len(reaper.marked(marker)) == 2)
    os.kill(supervisor.pid, signal.SIGKILL)
    supervisor.wait()
    until(lambda: not reaper.marked(marker), timeout_s=10)
    until(lambda: not [p for p in psutil.process_iter(["cmdline"]) if marker in (p.info["cmdline"] or [])])
    supervisor.stdout.close()


def test_what_a_killed_predecessor_left_is_ended_first(tmp_path):
    left = subprocess.Popen(python("import time; time.sleep(60)"), env={**os.environ, reaper.MARKER: "former"})
    until(lambda: reaper.marked("former"))
    (tmp_path / "run_site.lock").write_text(json.dumps({"pid": 1, "port": 1, "marker": "former"}))
    with only_site_of(tmp_path, 8000):
        assert left.wait(timeout=5) == -signal.SIGTERM


def test_a_home_holds_one_site(tmp_path):
    refused = pytest.raises(SiteRunning, match=f"process {os.getpid()}, port 8000")
    with only_site_of(tmp_path, 8000), refused, only_site_of(tmp_path, 8001):
        pass
    with only_site_of(tmp_path, 8002):
        pass


def test_a_port_in_use_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=f"port {port} of 127.0.0.1 is in use"):
            claim_port("127.0.0.1", port)
    claim_port("127.0.0.1", port)
