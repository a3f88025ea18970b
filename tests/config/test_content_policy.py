"""Every answer carries the content security policy: pages, errors, files."""

import logging

import pytest
from django.core.exceptions import BadRequest, SuspiciousOperation
from django.http import Http404
from django.urls import path

from config.urls import urlpatterns as site

pytestmark = pytest.mark.django_db
SECRET = "what only the log may say"


def raising(error):
    def view(request):
        raise error

    return view


urlpatterns = [
    path("breaks/", raising(ZeroDivisionError(SECRET)), name="home"),
    path("bad/", raising(BadRequest(SECRET)), name="healthz"),
    path("suspicious/", raising(SuspiciousOperation(SECRET)), name="readyz"),
    path("missing/", raising(Http404(SECRET)), name="sign_in"),
    *site,
]
ERRORS = {
    "/breaks/": 500,
    "/bad/": 400,
    "/suspicious/": 400,
    "/missing/": 404,
    "/no/such/page/": 404,
    "/audit-log/": 302,
    "/language/": 405,
}


@pytest.fixture
def client(client, settings):
    settings.ROOT_URLCONF = __name__
    client.raise_request_exception = False
    return client


@pytest.mark.parametrize("address", [*ERRORS, "/sign-up/", "/static/css/tokens.css"])
def test_every_answer_forbids_foreign_and_inline_script(client, address):
    response = client.get(address)
    assert response.status_code == ERRORS.get(address, 200)
    policy = response.headers["Content-Security-Policy"].split("; ")
    assert {"script-src 'self'", "style-src 'self'", "default-src 'self'", "object-src 'none'"} <= set(policy)


@pytest.mark.parametrize("address", ["/breaks/", "/bad/", "/suspicious/", "/missing/", "/no/such/page/"])
def test_an_error_page_is_the_site_s_own_and_shows_nothing_of_its_inside(client, address):
    page = client.get(address).content.decode()
    assert "Go to the start page" in page
    assert SECRET not in page
    assert "<style" not in page


def test_a_broken_page_is_logged_with_its_cause(client, caplog):
    with caplog.at_level(logging.ERROR, "django.request"):
        client.get("/breaks/")
    assert [record.exc_info[1].args[0] for record in caplog.records] == [SECRET]


def test_a_request_without_a_csrf_token_gets_the_policy_too(client):
    client.handler.enforce_csrf_checks = True
    response = client.post("/sign-in/", {"username": "a", "password": "b"})
    assert response.status_code == 403
    assert "Content-Security-Policy" in response.headers
