"""The thread of a loop that asks the database for as long as its process lives."""

import pytest
from django.db import connection

from accounts.models import User
from chat.database import DatabaseThread


@pytest.mark.django_db(transaction=True)
async def test_it_keeps_no_list_of_its_queries(settings):
    settings.DEBUG = True
    thread = DatabaseThread("test")
    await thread(User.objects.count)
    assert await thread(lambda: len(connection.queries_log)) == 0
    await thread.close()
