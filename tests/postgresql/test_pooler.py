"""A whole site behind a PgBouncer that gives each transaction another connection."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import time

import psycopg
import pytest

from tests.person import Person
from tests.site import free_port, own_database, running_site

URL = os.environ.get("DATABASE_URL", "")
pytestmark = [
    pytest.mark.skipif(not URL.startswith("postgres"), reason="needs PostgreSQL"),
    pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="needs pgbouncer"),
    pytest.mark.timeout(300),
]
POOLER = """
[databases]
* = {server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
max_client_conn = 200
"""
WITHIN_S = 30


@pytest.fixture(scope="module")
def pooled_database(tmp_path_factory):
    """The address of an empty database through the pooler."""
    port, folder = free_port(), tmp_path_factory.mktemp("pooler", numbered=True)
    with own_database() as url, contextlib.ExitStack() as stack:
        info = psycopg.conninfo.conninfo_to_dict(url)
        server = {"host": "127.0.0.1", "port": 5432, "user": "postgres", **info}
        words = " ".join(f"{name}={value}" for name, value in server.items() if name != "dbname")
        (folder / "pooler.ini").write_text(POOLER.format(port=port, server=words))
        account = ["-u", "postgres"] if os.geteuid() == 0 else []  # it refuses to run as root
        child = subprocess.Popen(["pgbouncer", "-q", *account, str(folder / "pooler.ini")])
        stack.callback(child.wait)
        stack.callback(child.kill)
        pooled = f"postgres://postgres@127.0.0.1:{port}/{info['dbname']}"
        end = time.monotonic() + WITHIN_S
        while True:
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(pooled):
                break
            assert time.monotonic() < end
            time.sleep(0.1)
        yield pooled


@pytest.fixture(scope="module")
def site(pooled_database, tmp_path_factory):
    with running_site(
        tmp_path_factory.mktemp("site"),
        DATABASE_URL=pooled_database,
        CHAMSAE_DATABASE_POOLER="transaction",
        CHAMSAE_REPLIES_PER_USER="50",
    ) as site:
        yield site


@pytest.fixture
def person(site):
    with contextlib.closing(Person(site.url, "chatter")) as person:
        yield person


async def reply_to(person, text):
    async with asyncio.timeout(WITHIN_S), person.chat(person.new_conversation()) as chat:
        return await chat.ask(text)


async def test_several_replies_stream_at_once_and_end(site, person):
    found = await asyncio.gather(*(reply_to(person, "Tell me all, slowly.") for _ in range(6)))
    for heard in found:
        assert heard.state == "complete"
        assert heard.arrivals[-1] - heard.arrivals[0] > 0.2  # while it was written, not at once in the end
    assert json.loads(site.manage("fsck", "--json"))["problems"] == []
