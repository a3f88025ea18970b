"""The language: the browser's, until the person chooses one."""

import pytest

pytestmark = pytest.mark.django_db


def language_of(response):
    return response["Content-Language"], '<html lang="ko">' in response.content.decode()


def test_the_browser_asks(browser_of):
    assert language_of(browser_of(accept_language="ko-KR,ko;q=0.9,en;q=0.5").get("/")) == ("ko", True)
    assert language_of(browser_of(accept_language="fr,en;q=0.5").get("/")) == ("en", False)
    assert language_of(browser_of().get("/")) == ("en", False)


def test_the_choice_outweighs_the_browser(browser_of):
    client = browser_of(accept_language="en")
    response = client.post("/language/", {"language": "ko", "next": "/sign-in/"})
    assert response["Location"] == "/sign-in/"
    assert language_of(client.get("/sign-in/")) == ("ko", True)


def test_the_choice_is_kept_with_the_account_and_comes_to_other_devices(person, browser_of):
    user = person("sora")
    browser_of(user).post("/language/", {"language": "ko"})
    user.refresh_from_db()
    assert user.language == "ko"
    elsewhere = browser_of(accept_language="en")
    elsewhere.post("/sign-in/", {"username": "sora", "password": "a long enough password"})
    assert language_of(elsewhere.get("/")) == ("ko", True)


@pytest.mark.parametrize("language", ["", "de", "../../etc", "한국어"])
def test_an_unknown_language_changes_nothing(client, language):
    response = client.post("/language/", {"language": language})
    assert response.status_code == 302
    assert "language" not in response.cookies


@pytest.mark.parametrize("address", ["https://elsewhere.example/", "//elsewhere.example", "javascript:alert(1)"])
def test_leads_to_no_other_site(client, address):
    assert client.post("/language/", {"language": "ko", "next": address})["Location"] == "/"


def test_a_forged_cookie_is_ignored(client):
    client.cookies["language"] = 'xx"><script>'
    assert client.get("/").status_code == 200
