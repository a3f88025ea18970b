"""Policies that the tests of the queue share: the live one, and one that people pick by its name."""

import pytest

from chat.models import Policy


@pytest.fixture
def live():
    return Policy.objects.create(name="live", version=1, is_live=True, is_scripted=True)


@pytest.fixture
def named():
    return Policy.objects.create(name="named", version=2, is_scripted=True)
