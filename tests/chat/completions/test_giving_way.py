"""Bulk work waits for room, stops where the room shrinks, and is told when nobody wants it any more."""

import asyncio

import pytest

from chat.completions.giving_way import BulkRoom, GaveWay, NotWanted
from chat.errors import EngineDown

pytestmark = pytest.mark.django_db(transaction=True)


class Looks:
    """A look whose answer the test sets; `again` waits until it was asked once more."""

    def __init__(self, room):
        self.room = room
        self.looked = asyncio.Event()
        self.loop = asyncio.get_running_loop()

    def __call__(self):
        self.loop.call_soon_threadsafe(self.looked.set)
        if isinstance(self.room, Exception):
            raise self.room
        return self.room

    async def again(self, room):
        self.room = room
        for _ in range(2):  # the first may have begun before
            self.looked.clear()
            async with asyncio.timeout(20):  # nobody looks where nothing waits
                await self.looked.wait()


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("chat.completions.giving_way.LOOK_EVERY_S", 0.005)


def room_of(looks):
    room = BulkRoom.of_running_loop()
    room.look = looks
    return room


async def forever():
    await asyncio.Event().wait()


async def test_a_share_is_as_large_as_the_room():
    room = room_of(Looks(3))
    async with room.share(5) as share:
        assert share.count == 3


async def test_work_waits_while_there_is_no_room():
    looks = Looks(0)
    room = room_of(looks)

    async def work():
        async with room.share(2) as share:
            return share.count

    working = asyncio.create_task(work())
    await looks.again(0)
    assert not working.done()
    looks.room = 4
    assert await working == 2


async def test_shares_never_exceed_the_room_together():
    room = room_of(Looks(4))
    running = most = 0

    async def work():
        nonlocal running, most
        async with room.share(2) as share:
            running += share.count
            most = max(most, running)
            await asyncio.sleep(0)
            running -= share.count

    await asyncio.gather(*(work() for _ in range(9)))
    assert most == 4


async def test_the_newest_work_stops_where_the_room_shrinks():
    looks = Looks(4)
    room = room_of(looks)
    async with room.share(2) as older, room.share(2) as newer:
        stopped = asyncio.create_task(newer.hold(forever()))
        await looks.again(2)
        with pytest.raises(GaveWay):
            await stopped
        assert not older.is_revoked.is_set()


async def test_what_is_stopped_is_cancelled_before_it_is_reported():
    looks = Looks(1)
    room = room_of(looks)
    ended = []

    async def work():
        try:
            await forever()
        finally:
            ended.append(True)

    async with room.share(1) as share:
        stopped = asyncio.create_task(share.hold(work()))
        await looks.again(0)
        with pytest.raises(GaveWay):
            await stopped
    assert ended == [True]


async def test_an_error_of_the_work_is_passed_on():
    async def fails():
        raise EngineDown("gone")

    async with room_of(Looks(1)).share(1) as share:
        with pytest.raises(EngineDown):
            await share.hold(fails())


async def test_whoever_is_not_wanted_any_more_does_not_wait_for_ever():
    with pytest.raises(NotWanted):
        async with room_of(Looks(NotWanted("enough"))).share(1):
            pass


async def test_after_a_pause_the_room_of_before_does_not_count():
    looks = Looks(2)
    room = room_of(looks)
    async with room.share(1):
        pass
    while room._task is not None:
        await asyncio.sleep(0.001)
    looks.room = 0
    waiting = asyncio.create_task(room.share(1).__aenter__())
    await looks.again(0)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])
