"""Headers of every page: what a browser may do for it, and that nobody keeps what belongs to a person."""

import pytest
from django.test import Client

from accounts import keys
from tests.people import make_person

pytestmark = pytest.mark.django_db


@pytest.fixture
def signed_in():
    client = Client()
    client.force_login(make_person("sora"))
    return client


@pytest.mark.parametrize("path", ["/", "/account/", "/no/such/page/", "/site/prices/", "/training/"])
def test_what_a_person_gets_is_kept_nowhere(signed_in, path):
    assert "no-store" in signed_in.get(path)["Cache-Control"]


def test_what_a_program_gets_is_kept_nowhere():
    _key, secret = keys.make(make_person("sora"), "test")
    response = Client(headers={"authorization": f"Bearer {secret}"}).get("/v1/models")
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]


def test_a_shared_link_that_may_be_revoked_is_kept_nowhere(client):
    assert "no-store" in client.get("/s/no-such-link/")["Cache-Control"]


@pytest.mark.parametrize("path", ["/", "/sign-in/", "/no/such/page/", "/v1/models", "/healthz"])
def test_no_page_may_use_the_camera_or_be_embedded_elsewhere(client, path):
    response = client.get(path)
    assert "camera=()" in response["Permissions-Policy"]
    assert response["Cross-Origin-Resource-Policy"] == "same-origin"
    assert response["Cross-Origin-Opener-Policy"] == "same-origin"


def test_a_browser_that_came_by_tls_comes_by_nothing_else(client, settings):
    settings.SECURE_HSTS_SECONDS, settings.SECURE_PROXY_SSL_HEADER = (
        30 * 24 * 3600,
        ("HTTP_X_FORWARDED_PROTO", "https"),
    )
    assert Client().get("/sign-in/", secure=True)["Strict-Transport-Security"] == "max-age=2592000"
    assert "Strict-Transport-Security" not in client.get("/sign-in/")
