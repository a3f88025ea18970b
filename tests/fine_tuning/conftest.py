"""A person with a key, directories of this test alone, and a base that can be fine-tuned."""

import json
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.cache import cache
from django.test import Client

from accounts import keys
from accounts.models import User

FAKE = Path(__file__).with_name("fake_trainer.py")


@pytest.fixture(autouse=True)
def _fresh():
    cache.clear()


@pytest.fixture
def home(settings, tmp_path):
    for name in ("MODELS_DIR", "RUNS_DIR", "UPLOADS_DIR"):
        folder = tmp_path / name.lower()
        folder.mkdir()
        setattr(settings, name, folder)
    settings.RLHF_TRAINER = [sys.executable, str(FAKE)]
    settings.RLHF_LEASE = timedelta(seconds=3)
    settings.RLHF_THREADS = 1
    return tmp_path


@pytest.fixture
def person(db, home):
    return User.objects.create_user("mina")


@pytest.fixture
def stranger(db, home):
    return User.objects.create_user("stranger")


class Api:
    """A program with a key."""

    def __init__(self, owner, **fields):
        self.key, secret = keys.make(owner, "test", **fields)
        self.owner = owner
        self.client = Client(headers={"authorization": f"Bearer {secret}"})

    def get(self, path, **options):
        return self.client.get(f"/v1/{path}", **options)

    def post(self, path, body=None, **options):
        return self.client.post(f"/v1/{path}", json.dumps(body or {}), content_type="application/json", **options)

    def delete(self, path):
        return self.client.delete(f"/v1/{path}")

    def upload(self, content, filename="guide.jsonl", purpose="fine-tune", **fields):
        body = multipart({"purpose": purpose, **fields}, content, filename)
        return self.client.post("/v1/files", body, content_type=f"multipart/form-data; boundary={BOUNDARY}")


BOUNDARY = "a-line-between-parts"


def multipart(fields, content, filename):
    """As the clients send it: Django's own test client would cut a path off the file's name."""
    part = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="'.encode()
    texts = b"".join(part + f'{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields.items())
    content = content if isinstance(content, bytes) else content.encode()
    head = f'file"; filename="{filename}"\r\nContent-Type: application/octet-stream\r\n\r\n'.encode()
    return texts + part + head + content + f"\r\n--{BOUNDARY}--\r\n".encode()


@pytest.fixture
def api(person):
    return Api(person)


@pytest.fixture
def theirs(stranger):
    return Api(stranger)


def jsonl(*rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def pairs(count=12):
    return jsonl(*({"prompt": f"Question {n} ->", "completion": f" Answer {n}\n"} for n in range(count)))


@pytest.fixture
def left_behind(settings):
    """Names under UPLOADS_DIR."""
    return lambda: sorted(path.name for path in Path(settings.UPLOADS_DIR).iterdir())


SMOLLM2 = {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "tie_word_embeddings": True,
}
CONFIG = {
    "model_type": "llama",
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": 100,
    "tie_word_embeddings": True,
}


@pytest.fixture
def base(person, settings):
    """A live policy without a tokenizer: tokens are guessed from characters, so that a test counts them by hand."""
    from chat import policies
    from rlhf.release import promotion
    from tests.rlhf.policy_directories import write_policy

    policy = policies.register(write_policy(settings.MODELS_DIR / "base", config=CONFIG), name="base", source="test")
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


def drive(sent):
    """What a worker does with what it was handed."""
    from rlhf.runs import cycle
    from rlhf.runs.supervisor import Supervisor

    while sent:
        cycle.drive(sent.pop(0), Supervisor())
