"""People of each role, a policy that answers canned text, and tasks without an engine."""

import pytest
from django.core.cache import cache
from django.test import Client

from accounts.roles import Role
from chat.completions.bulk import Completed
from chat.models import Policy
from feedback import seed
from feedback.judgements import task_stock
from feedback.projects import offers
from feedback.simulated import collecting
from tests.people import make_person


@pytest.fixture(autouse=True)
def empty_cache():
    cache.clear()


@pytest.fixture(autouse=True)
def _nothing_by_lot(monkeypatch):
    """Of several tasks the first made comes first, unless a test says otherwise."""
    monkeypatch.setattr(offers, "SHARE_BY_LOT", 0)


@pytest.fixture
def person(db):
    return make_person


@pytest.fixture
def annotator(db):
    return make_person("ann", Role.ANNOTATOR)


@pytest.fixture
def moderator(db):
    return make_person("mod", Role.MODERATOR)


@pytest.fixture
def admin(db):
    return make_person("boss", Role.ADMIN)


@pytest.fixture
def signed_in():
    def make(user, **headers):
        client = Client(headers=headers)
        client.force_login(user)
        return client

    return make


@pytest.fixture
def seeds(db):
    return seed.load()


@pytest.fixture
def policy(db):
    return Policy.objects.create(name="scripted", version=1, is_live=True, is_scripted=True)


@pytest.fixture
def speech(monkeypatch):
    """Stands in for the engine; the calls made are noted. Text k of each prompt comes from `texts`."""
    calls = []
    texts = ["I love rainbows. They make me happy.", "A rainbow is light in drops of rain.", "It is", "My family"]

    def complete_each(policy, prompts, *, n, parameters, on_progress, **_):
        calls.append({"policy": policy, "prompts": list(prompts), "n": n, "parameters": parameters})
        for done in range(len(prompts) * n if on_progress else 0):
            on_progress(done + 1, len(prompts) * n)
        for i in range(len(prompts)):
            yield i, [Completed(texts[k % len(texts)] + f" {i}.", "stop", 9, 9) for k in range(n)]

    for module in (task_stock, collecting):
        monkeypatch.setattr(module, "complete_each", complete_each)
    return calls
