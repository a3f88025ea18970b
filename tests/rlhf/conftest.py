"""A live base policy, a child that trains nothing, and leases short enough to wait for."""

from pathlib import Path

import pytest

from tests.own_directories import use_own_directories
from tests.rlhf import feedback_rows
from tests.rlhf.policy_directories import write_policy

FAKE = Path(__file__).with_name("fake_trainer.py")


@pytest.fixture
def home(settings, tmp_path):
    """Directories of this test alone."""
    return use_own_directories(settings, tmp_path, trainer=FAKE)


@pytest.fixture
def base_policy(db, home, settings):
    from chat import policies
    from rlhf.release import promotion

    settings.GATE = {**settings.GATE, "judge_comparisons_min": 1, "judge_people_min": 1}  # few rows do for a test
    settings.RLHF_MINIMUM_RULE_LABELS = 0
    directory = write_policy(settings.MODELS_DIR / "base")
    policy = policies.register(directory, name="base", source="test")
    promotion.make_first_live(policy)
    policy.refresh_from_db()
    return policy


@pytest.fixture
def judged(base_policy):
    """Enough rankings and flags for a cycle."""
    rankings = feedback_rows.plenty(feedback_rows.annotator("ann"))
    for ranking in rankings:
        feedback_rows.flag(ranking)
    return rankings


@pytest.fixture
def admin(db):
    from django.contrib.auth.models import Group

    user = feedback_rows.annotator("root-admin")
    user.groups.add(Group.objects.get_or_create(name="admin")[0])
    return user


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A supervisor that looks often and loses patience soon."""
    monkeypatch.setattr("rlhf.runs.supervisor.POLL_S", 0.02)
    monkeypatch.setattr("rlhf.runs.supervisor.HEARTBEAT_S", 0.1)
    monkeypatch.setattr("rlhf.runs.supervisor.GRACE_S", 1.0)


@pytest.fixture(autouse=True)
def much_memory(monkeypatch):
    """As much as every stage needs, whatever else this machine does."""
    monkeypatch.setattr("rlhf.runs.memory.free_mb", lambda: 64_000)


@pytest.fixture(autouse=True)
def no_worker(monkeypatch):
    """What a view or a periodic task hands to the worker is noted, not done."""
    sent = []
    monkeypatch.setattr("rlhf.tasks.run_cycle.delay", sent.append)
    return sent
