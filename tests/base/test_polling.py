"""The task that polls the database: one for an event loop, and only while somebody waits."""

import asyncio

import pytest
from django.db.utils import OperationalError

from base import polling
from base.database_thread import DatabaseThread
from base.polling import Poller


class Countdown(Poller[DatabaseThread]):
    """Waits for its polls to be used up; a poll fails with the error that stands in its place."""

    def __init__(self):
        super().__init__()
        self.steps, self.threads, self.failures = [], 0, 0

    def connect(self):
        self.threads += 1
        return DatabaseThread("countdown")

    def is_awaited(self):
        return bool(self.steps)

    async def poll(self, database):
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        await asyncio.sleep(0)

    def on_failure(self):
        self.failures += 1


async def ended(poller):
    async with asyncio.timeout(5):
        while poller._task is not None:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _short_pause(monkeypatch):
    monkeypatch.setattr(polling, "PAUSE_AFTER_ERROR_S", 0.01)


async def test_it_polls_while_somebody_waits_and_in_one_task():
    poller = Countdown()
    poller.steps = ["", "", ""]
    poller.begin()
    poller.begin()
    await ended(poller)
    assert (poller.steps, poller.threads, poller.failures) == ([], 1, 0)
    poller.steps = [""]
    poller.begin()
    await ended(poller)
    assert (poller.steps, poller.threads) == ([], 2)


async def test_it_goes_on_when_the_database_is_back(caplog):
    poller = Countdown()
    poller.steps = [OperationalError("gone"), ""]
    poller.begin()
    await ended(poller)
    assert (poller.steps, poller.threads, poller.failures) == ([], 1, 0)
    assert "the database is away: gone" in caplog.text


async def test_an_unforeseen_error_ends_it_and_is_handed_on(caplog):
    poller = Countdown()
    poller.steps = [KeyError("odd"), ""]
    poller.begin()
    task = poller._task
    with pytest.raises(KeyError):
        await task
    assert (poller.failures, poller.steps, poller._task) == (1, [""], None)
    assert "Countdown failed" in caplog.text


async def test_there_is_one_of_each_kind_for_an_event_loop():
    class Other(Countdown):
        pass

    assert Countdown.of_running_loop() is Countdown.of_running_loop()
    assert Other.of_running_loop() is not Countdown.of_running_loop()
    assert type(Other.of_running_loop()) is Other


def test_each_event_loop_has_its_own():
    async def instance():
        return Countdown.of_running_loop()

    assert asyncio.run(instance()) is not asyncio.run(instance())
