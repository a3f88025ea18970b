"""Readers sleep until what they read is committed, and on PostgreSQL are told which reply changed."""

import asyncio
import time

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.db import OperationalError, connection, transaction

from base.database_thread import DatabaseThread
from chat.queue import wakeup

pytestmark = pytest.mark.django_db(transaction=True)
names_replies = pytest.mark.skipif(not wakeup.IS_POSSIBLE, reason="needs PostgreSQL")
LONG_S = 20.0


@pytest.fixture
async def thread():
    thread = DatabaseThread("sleeper")
    yield thread
    await thread.close()


def call_in_a_transaction(reply):
    with transaction.atomic():
        wakeup.call(reply)
        time.sleep(0.2)
        return time.monotonic()


@names_replies
async def test_a_sleeper_wakes_when_the_call_is_committed_and_hears_of_which_reply(thread):
    sleeper = wakeup.sleeper()
    assert await thread(sleeper.sleep, 0.0) == set()
    sleeping = asyncio.create_task(thread(lambda: (sleeper.sleep(LONG_S), time.monotonic())))
    before_the_commit = await sync_to_async(call_in_a_transaction)(7)
    async with asyncio.timeout(LONG_S / 2):
        heard, woke_at = await sleeping
    assert heard == {7}
    assert woke_at >= before_the_commit
    await thread(sleeper.leave)


@names_replies
async def test_calls_that_came_while_it_was_awake_are_heard_at_once(thread):
    sleeper = wakeup.sleeper()
    await thread(sleeper.sleep, 0.0)
    for reply in (7, 8):
        await sync_to_async(wakeup.call)(reply)
    heard = set()
    async with asyncio.timeout(LONG_S / 2):
        while heard != {7, 8}:
            heard |= await thread(sleeper.sleep, LONG_S)
    assert await thread(listening_to) == [wakeup.CHANNEL]
    await thread(sleeper.leave)
    assert await thread(listening_to) == []


@names_replies
async def test_a_sleeper_whose_database_goes_away_says_so_and_sleeps_again(thread):
    sleeper = wakeup.sleeper()
    await thread(sleeper.sleep, 0.0)
    pid = await thread(lambda: connection.connection.info.backend_pid)
    sleeping = asyncio.create_task(thread(sleeper.sleep, LONG_S))
    await asyncio.sleep(0.1)
    await sync_to_async(end_backend)(pid)
    with pytest.raises(OperationalError):
        await sleeping
    assert await thread(sleeper.sleep, 0.0) == set()
    await sync_to_async(wakeup.call)(7)
    assert await thread(sleeper.sleep, LONG_S) == {7}
    await thread(sleeper.leave)


@pytest.mark.skipif(not wakeup.SEES_EVERY_COMMIT, reason="needs SQLite")
async def test_on_sqlite_a_sleeper_wakes_when_another_connection_commits_and_not_before(thread):
    sleeper = wakeup.sleeper()
    await thread(sleeper.sleep, 0.0)
    sleeping = asyncio.create_task(thread(lambda: (sleeper.sleep(LONG_S), time.monotonic())))
    before_the_commit = await sync_to_async(write_in_a_transaction)()
    async with asyncio.timeout(LONG_S / 2):
        _, woke_at = await sleeping
    assert woke_at >= before_the_commit


@pytest.mark.skipif(not wakeup.SEES_EVERY_COMMIT, reason="needs SQLite")
async def test_on_sqlite_what_was_committed_while_it_was_awake_is_no_sleep(thread):
    sleeper = wakeup.sleeper()
    await thread(sleeper.sleep, 0.0)
    await sync_to_async(write_in_a_transaction)()
    async with asyncio.timeout(LONG_S / 2):
        await thread(sleeper.sleep, LONG_S)


def write_in_a_transaction():
    with transaction.atomic():
        Group.objects.create(name=f"group {time.monotonic()}")
        time.sleep(0.1)
        return time.monotonic()


def listening_to():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_listening_channels()")
        return [channel for (channel,) in cursor.fetchall()]


def end_backend(pid):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
