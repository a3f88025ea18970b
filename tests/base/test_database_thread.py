"""DatabaseThread: after an error of its connection the next call has a new one."""

import contextlib

import pytest
from django.db import connection
from django.db.utils import Error

from base.database_thread import DatabaseThread

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def thread():
    thread = DatabaseThread("test")
    yield thread
    await thread.close()


def ask():
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        return cursor.fetchone()[0]


def lose_the_connection():
    connection.ensure_connection()
    connection.connection.close()


async def test_a_lost_connection_is_replaced_though_its_error_was_kept(thread):
    def keeps_the_error():
        with contextlib.suppress(Error):
            ask()

    await thread(lose_the_connection)
    await thread(keeps_the_error)
    assert await thread(ask) == 1


async def test_a_connection_without_an_error_stays(thread):
    assert await thread(lambda: (ask(), connection.connection)[1]) is await thread(lambda: connection.connection)
