"""Directories of this test alone, and a lesson whose models were taught on a small text by the real stage."""

from pathlib import Path

import pytest

from lecture import teaching
from tests.lecture.small_texts import carry_out
from tests.own_directories import use_own_directories

FAKE = Path(__file__).with_name("failing_trainer.py")


@pytest.fixture
def home(settings, tmp_path):
    return use_own_directories(settings, tmp_path, trainer=FAKE)


@pytest.fixture
def no_worker(monkeypatch):
    """What is handed to the worker is noted, not done."""
    sent = []
    monkeypatch.setattr("rlhf.tasks.run_cycle.delay", sent.append)
    return sent


@pytest.fixture
def teach(db, home):
    """A lesson on a text; the stage runs in this process."""

    def taught_on(text, owner=None, source=None, families=teaching.COUNTING):
        path = home / f"{abs(hash(text))}.txt"
        path.write_text(text)
        return carry_out(teaching.start(owner, source or str(path), families), path)

    return taught_on
