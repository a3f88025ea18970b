"""What is skipped where something is absent, with its name; and a tiny policy for whoever needs one."""

import functools
import os
import shutil
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.fetched_model import fetched_policy

SERVICES = {
    "PostgreSQL": ("DATABASE_URL", "postgres://postgres@127.0.0.1:5432/postgres"),
    "Redis": ("REDIS_URL", "redis://127.0.0.1:6379/0"),
    "RabbitMQ": ("CELERY_BROKER_URL", "amqp://guest:guest@127.0.0.1:5672//"),
}
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
LONGEST = (
    "test_loop.py",
    "rlhf/test_sabotage.py",
    "browser/test_training.py",
    "browser/test_own_models.py",
    "browser/test_lines.py",
    "browser/test_assistants.py",
    "browser/test_conversations.py",
    "browser/test_side_by_side.py",
    "browser/test_accessibility.py",
    "chat/test_faults.py",
    "clients/test_clients.py",
)
"""Begun first, lest one worker is still at them when the others have nothing left to do."""
RERUNS = 2
"""A browser, a site and another pair of both share the cores: what fails there is asked once more, and both are told.
"""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    order = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))
    if "PYTEST_XDIST_WORKER" in os.environ:
        for item in items:
            if item.get_closest_marker("browser"):
                item.add_marker(pytest.mark.flaky(reruns=RERUNS))


def pytest_runtest_setup(item):
    for mark in item.iter_markers("services"):
        for name in mark.args or tuple(SERVICES):
            if reason := absence_of(name):
                pytest.skip(reason)
    if item.get_closest_marker("browser") and chromium() is None:
        pytest.skip("Chromium is not installed (on Debian: apt-get install chromium)")
    if item.get_closest_marker("model") and fetched_policy() is None:
        pytest.skip("the model is not fetched (manage.py fetch_model)")


@functools.cache
def absence_of(service):
    """Why a service cannot be tested against, empty where it answers."""
    variable, usual = SERVICES[service]
    address = os.environ.get(variable, "")
    parts = urlsplit(usual if "://127" not in address and "@" not in address else address)
    try:
        with socket.create_connection((parts.hostname, parts.port), timeout=2):
            return ""
    except OSError as error:
        return f"{service} does not answer at {parts.hostname}:{parts.port} ({error})"


@functools.cache
def chromium():
    return next(filter(None, map(shutil.which, CHROMIUMS)), None)


@pytest.fixture(autouse=True)
def _phrases_in_force_at_once(monkeypatch):
    """A test changes phrases and checks at the next moment; only the test of the keeping itself keeps them."""
    monkeypatch.setattr("feedback.guards.CACHED_FOR_S", 0.0)


@pytest.fixture(scope="session")
def tiny_policy(tmp_path_factory):
    """Directory of a complete tiny random policy; copy it before changing it."""
    from tests.tiny import make_tiny_policy

    return make_tiny_policy(tmp_path_factory.mktemp("tiny") / "policy")
