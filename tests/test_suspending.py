"""A process that tests stop holds no lock meanwhile, so that what others write is never too late because of it."""

import contextlib
import sqlite3
import subprocess
import sys

import psutil
import pytest

from .site import DATABASE, Site

WRITES = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None)
print("begun", flush=True)
while True:
    database.execute("BEGIN IMMEDIATE")
    database.execute("INSERT INTO writes VALUES (1)")
    time.sleep(0.05)
    database.execute("COMMIT")
    time.sleep(0.05)
"""


@pytest.fixture
def writing(tmp_path):
    path = tmp_path / DATABASE
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript("PRAGMA journal_mode=WAL; CREATE TABLE writes (n)")
    child = subprocess.Popen([sys.executable, "-c", WRITES, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "begun\n"
    yield Site(tmp_path, 0, {}, child)
    child.kill()
    child.wait()
    child.stdout.close()


def test_whoever_is_stopped_between_writes_keeps_nobody_from_writing(writing):
    process = psutil.Process(writing.process.pid)
    for _ in range(10):
        writing.suspend_between_writes(process)
        with contextlib.closing(sqlite3.connect(writing.home / DATABASE, timeout=0.5)) as other, other:
            other.execute("INSERT INTO writes VALUES (2)")
        process.resume()
