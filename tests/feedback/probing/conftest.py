"""The seed's rules without its prompts, which no test of probing reads."""

import pytest

from feedback import seed
from tests.consenting import everybody_agrees


@pytest.fixture(autouse=True)
def agreed():
    with everybody_agrees():
        yield


@pytest.fixture
def rules_alone(db, monkeypatch):
    monkeypatch.setattr(seed, "_load_prompts", lambda: 0)
    seed.load()
