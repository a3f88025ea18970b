"""What is skipped where something is absent, with its name; and a tiny policy for whoever needs one."""

from pathlib import Path

import pytest
from django.db import connection
from hypothesis import HealthCheck, settings

from tests.machine import SERVICES, absence_of, chromium, fetched_policy

settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")
"""How fast examples are made and run tells how busy the machine is, and nothing about the code."""
LONGEST = (
    "test_loop.py",
    "rlhf/release/test_sabotage.py",
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


def pytest_addoption(parser):
    parser.addoption("--database", action="store_true", help="only tests that touch the database or a service")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    if config.getoption("--database"):
        left_out = [item for item in items if not _touches_a_service(item)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if _touches_a_service(item)]
    order = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


def _touches_a_service(item):
    marked = any(item.get_closest_marker(name) for name in ("django_db", "services", "browser"))
    starts_a_site = hasattr(item.module, "running_site")
    return marked or starts_a_site or not {"db", "transactional_db", "home"}.isdisjoint(item.fixturenames)


def pytest_runtest_setup(item):
    for mark in item.iter_markers("services"):
        for name in mark.args or tuple(SERVICES):
            if reason := absence_of(name):
                pytest.skip(reason)
    if item.get_closest_marker("browser") and chromium() is None:
        pytest.skip("Chromium is not installed (on Debian: apt-get install chromium-headless-shell)")
    if item.get_closest_marker("model") and fetched_policy() is None:
        pytest.skip("the model is not fetched (manage.py fetch_model)")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """Ends the connections that threads of ended tests still hold: PostgreSQL drops no database that is in use."""
    yield
    with django_db_blocker.unblock():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )


@pytest.fixture(autouse=True)
def _phrases_in_force_at_once(monkeypatch):
    """A test changes phrases and checks at the next moment; only the test of the keeping itself keeps them."""
    monkeypatch.setattr("feedback.guards.CACHED_FOR_S", 0.0)


@pytest.fixture(autouse=True)
def _no_heads_of_other_logs(request):
    """Each test has an audit log of its own; what another's reached is no entry that is missing here."""
    if "db" in request.fixturenames or request.node.get_closest_marker("django_db"):
        from accounts import audit_heads

        for place in audit_heads.places():
            place.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def tiny_policy(tmp_path_factory):
    """Directory of a complete tiny random policy; copy it before changing it."""
    from tests.tiny import make_tiny_policy

    return make_tiny_policy(tmp_path_factory.mktemp("tiny") / "policy")
