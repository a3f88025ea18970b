"""The site as a whole: it greets when all of it answers, refuses a second, mends itself, leaves nothing behind."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import psutil
import pytest

from config import reaper
from tests.site import ROOT, environment_of, running_site

ENDS_S = 10.0
"""Promised are 5; a machine that runs other tests at once is granted more."""


def until(condition, timeout_s):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def second_site(home, port):
    return subprocess.run(
        [sys.executable, "manage.py", "run_site", "--port", str(port)],
        cwd=ROOT, env=environment_of(home, ""), capture_output=True, text=True, timeout=30,
    )  # fmt: skip


def test_a_port_in_use_stops_the_start_before_anything_is_made(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = second_site(tmp_path, port)
    assert done.returncode == 1
    assert f"port {port} of 127.0.0.1 is in use" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "chamsae.sqlite3").exists()


def web_of(marker):
    """The living web processes of a site; one may end between being listed and being asked its command line."""
    found = []
    for process in reaper.marked(marker):
        with contextlib.suppress(psutil.Error):
            if "config.asgi:application" in process.cmdline():
                found.append(process)
    return found


def answers(url):
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.fault
@pytest.mark.timeout(180)
def test_a_site_mends_itself_and_leaves_nothing_behind_even_when_killed(tmp_path):
    with running_site(tmp_path, kills_itself=True) as site:
        greeting = (tmp_path / "said.txt").read_text()
        assert all(name in greeting for name in ("chatter", "annotator", "moderator", "admin", "chamsae-demo"))
        marker = json.loads((tmp_path / "run_site.lock").read_text())["marker"]

        refused = second_site(tmp_path, site.port)
        assert refused.returncode == 1
        assert f"a site already runs on {tmp_path} (process {site.process.pid}, port {site.port})" in refused.stderr

        (web,) = web_of(marker)
        web.kill()
        others = lambda: [process for process in web_of(marker) if process.pid != web.pid]  # noqa: E731 - asked again
        until(lambda: others() and answers(f"{site.url}/healthz"), 30)
        assert "web | exited with code -9; restarting in 1 s" in (tmp_path / "said.txt").read_text()

        started = len(reaper.marked(marker))
        assert started >= 3
        os.kill(site.process.pid, signal.SIGKILL)
        site.process.wait()
        until(lambda: not reaper.marked(marker), 10)
        until(lambda: not named(marker), 5)  # the reaper itself goes last


@pytest.mark.fault
@pytest.mark.timeout(180)
def test_a_site_ends_within_five_seconds_of_ctrl_c(tmp_path):
    with running_site(tmp_path, kills_itself=True) as site:
        asked_at = time.monotonic()
        site.process.send_signal(signal.SIGINT)
        assert site.process.wait(30) == 0
        assert time.monotonic() - asked_at < ENDS_S, site.logs()


def named(marker):
    """Living processes whose command line holds the marker."""
    found = [
        process for process in psutil.process_iter(["cmdline", "status"]) if marker in (process.info["cmdline"] or [])
    ]
    return [process for process in found if process.info["status"] != psutil.STATUS_ZOMBIE]
