"""People of each role, each with a browser of their own."""

import pytest
from django.core.cache import cache
from django.test import Client

from tests.people import make_person


@pytest.fixture(autouse=True)
def empty_cache():
    cache.clear()


@pytest.fixture
def person(db):
    """Makes a person: `person("name", Role.MODERATOR)`."""
    return make_person


@pytest.fixture
def browser_of():
    """A client that is signed in as a user."""

    def make(user=None, **headers):
        client = Client(headers=headers)
        if user:
            client.force_login(user)
        return client

    return make
