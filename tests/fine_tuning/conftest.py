"""A person with a key, directories of this test alone, and a base that can be fine-tuned."""

from pathlib import Path

import pytest
from django.core.cache import cache

from accounts.models import User
from tests.fine_tuning.model_configs import TINY
from tests.fine_tuning.program import Api
from tests.own_directories import use_own_directories

FAKE = Path(__file__).with_name("fake_trainer.py")


@pytest.fixture(autouse=True)
def _fresh():
    cache.clear()


@pytest.fixture
def home(settings, tmp_path):
    return use_own_directories(settings, tmp_path, trainer=FAKE)


@pytest.fixture
def person(db, home):
    return User.objects.create_user("mina")


@pytest.fixture
def stranger(db, home):
    return User.objects.create_user("stranger")


@pytest.fixture
def api(person):
    return Api(person)


@pytest.fixture
def theirs(stranger):
    return Api(stranger)


@pytest.fixture
def left_behind(settings):
    """Names under UPLOADS_DIR."""
    return lambda: sorted(path.name for path in Path(settings.UPLOADS_DIR).iterdir())


@pytest.fixture
def base(person, settings):
    """A live policy without a tokenizer: tokens are guessed from characters, so that a test counts them by hand."""
    from chat import policies
    from rlhf.release import promotion
    from tests.rlhf.policy_directories import write_policy

    policy = policies.register(write_policy(settings.MODELS_DIR / "base", config=TINY), name="base", source="test")
    promotion.make_first_live(policy)
    policy.refresh_from_db()
    return policy


@pytest.fixture
def no_worker(monkeypatch):
    """What is handed to the worker is noted, not done."""
    sent = []
    monkeypatch.setattr("rlhf.tasks.run_cycle.delay", sent.append)
    return sent


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("rlhf.runs.supervisor.POLL_S", 0.02)
    monkeypatch.setattr("rlhf.runs.supervisor.HEARTBEAT_S", 0.1)
    monkeypatch.setattr("rlhf.runs.supervisor.GRACE_S", 5.0)
