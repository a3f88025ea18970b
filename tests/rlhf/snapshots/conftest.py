"""Fixtures of the snapshots' tests: directories of their own, few rankings that are enough, an annotator."""

import pytest

from tests.rlhf import feedback_rows


@pytest.fixture(autouse=True)
def own_directories(home, settings):
    settings.RLHF_MINIMUM_RANKINGS = 1


@pytest.fixture
def ann():
    return feedback_rows.annotator("ann")
