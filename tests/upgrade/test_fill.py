"""The program that fills a site for these tests still does so with the code of today."""

import json
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from tests.upgrade import fill

FAKE = Path(__file__).with_name("fake_trainer.py")


@pytest.fixture
def home(settings, tmp_path):
    """Directories of this test alone, in which nothing is trained."""
    for name in ("MODELS_DIR", "RUNS_DIR", "UPLOADS_DIR"):
        folder = tmp_path / name.lower()
        folder.mkdir()
        setattr(settings, name, folder)
    settings.RLHF_TRAINER = [sys.executable, str(FAKE)]
    settings.GATE = {**settings.GATE, "judge_comparisons_min": 1, "judge_people_min": 1}  # few rows do for a test
    settings.RLHF_MINIMUM_RULE_LABELS = 0
    return tmp_path


@pytest.mark.django_db(transaction=True)
def test_a_filled_site_has_rows_in_every_table_and_is_sound(home, tiny_policy, monkeypatch):
    monkeypatch.setattr("rlhf.tasks.run_cycle.delay", lambda run_id: None)
    assert "chat.Policy" in fill.empty_tables()
    fill.fill(tiny_policy)
    assert fill.empty_tables() == []
    said = StringIO()
    call_command("fsck", "--json", stdout=said, stderr=StringIO())
    assert json.loads(said.getvalue())["problems"] == []
