"""Health checks: alive without an account, and ready only while nothing is wrong."""

import pytest


@pytest.mark.django_db
def test_health_needs_no_account(client, settings):
    assert client.get("/healthz").content == b"ok\n"
    settings.READY_CHECKS = ["base.health.database"]
    assert client.get("/readyz").json() == {"ready": True, "checks": {"database": ""}}


@pytest.mark.django_db
def test_not_ready_says_why(client, settings, monkeypatch):
    settings.READY_CHECKS = ["base.health.database"]
    monkeypatch.setattr("base.health.database", lambda: "no answer: OperationalError")
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["checks"] == {"database": "no answer: OperationalError"}
