"""`manage.py run_talker` as a process: it answers, it ends in time, and it leaves nothing behind however it dies."""

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta

import psutil
import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from chat.conversations.turns import take_turn
from chat.models import Chunk, EngineProcess, Reply
from chat.queue import reaping

pytestmark = pytest.mark.django_db(transaction=True)

RUN = """
import os, sys, django
django.setup()
from django.conf import settings
from django.db import connections
connections.databases["default"]["NAME"] = os.environ["TEST_DATABASE"]
from django.core.management import call_command
call_command("run_talker")
"""


@pytest.fixture
def process():
    """A talker on the test database, with a pipe for its standard input."""
    env = {
        **os.environ,
        "TEST_DATABASE": str(connection.settings_dict["NAME"]),
        "CHAMSAE_ENGINE_THREADS": "1",
        "CHAMSAE_ENGINE_SLOTS": "2",
        "CHAMSAE_CONTEXT_TOKENS": "1024",
        "DJANGO_SETTINGS_MODULE": "tests.settings",
    }
    running = subprocess.Popen([sys.executable, "-c", RUN], cwd=settings.BASE_DIR, env=env, stdin=subprocess.PIPE)
    yield running
    running.kill()
    running.wait()
    running.stdin.close()


def wait_for(condition, timeout=25):
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)
    return value


def ready_engine():
    return EngineProcess.objects.filter(state="ready").first()


def end_by_signal(process):
    process.send_signal(signal.SIGTERM)


def end_by_stdin(process):
    process.stdin.close()


@pytest.mark.parametrize("end", [end_by_signal, end_by_stdin])
def test_it_answers_and_ends_within_five_seconds(process, tiny_live_policy, conversation, end):
    _, reply = take_turn(conversation, "What is a star?", "k", None)
    done = wait_for(lambda: Reply.objects.select_related("message").exclude(state__in=Reply.LIVE).first())
    assert (done.pk, done.state) == (reply.pk, "complete")
    engine = ready_engine()
    end(process)
    process.wait(5)
    assert process.returncode == 0
    assert not psutil.pid_exists(engine.pid)
    assert EngineProcess.objects.get(pk=engine.pk).state == "dead"


def test_killed_it_leaves_a_reply_that_is_ended_and_no_process(process, tiny_live_policy, conversation, monkeypatch):
    engine = wait_for(ready_engine)
    psutil.Process(engine.pid).suspend()  # so that the reply can not end first
    _, reply = take_turn(conversation, "What is a star?", "k", None)
    wait_for(lambda: Reply.objects.filter(pk=reply.pk, state="streaming").exists())
    Chunk.objects.create(reply=reply, seq=1, text="A star")
    process.kill()
    process.wait()
    wait_for(lambda: not psutil.pid_exists(engine.pid), 5)
    reaping.reap()
    assert Reply.objects.get(pk=reply.pk).is_live  # its lease still holds
    Reply.objects.filter(pk=reply.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    reaping.reap()
    ended = Reply.objects.select_related("message").get(pk=reply.pk)
    assert (ended.state, ended.error, ended.message.text) == ("interrupted", "talker_gone", "A star")
