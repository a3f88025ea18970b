"""Light or dark: the device's, until the person chooses; then on every page from its first byte."""

import pytest

pytestmark = pytest.mark.django_db


def theme_of(response):
    head = response.content.decode().split("<body", 1)[0]
    return next((name for name in ("light", "dark") if f'data-theme="{name}"' in head), "")


def test_without_a_choice_the_page_follows_the_device(client):
    response = client.get("/")
    assert theme_of(response) == ""
    assert response.content.decode().count('name="theme-color"') == 2


def test_a_visitors_choice_is_in_a_cookie_and_can_be_taken_back(client):
    answer = client.post("/appearance/", {"theme": "dark", "next": "/sign-in/"})
    assert answer["Location"] == "/sign-in/"
    assert theme_of(client.get("/sign-in/")) == "dark"
    assert client.get("/").content.decode().count('name="theme-color"') == 1
    client.post("/appearance/", {"theme": ""})
    assert theme_of(client.get("/")) == ""


def test_the_choice_of_a_person_comes_to_other_devices_and_outweighs_their_cookies(person, browser_of):
    user = person("sora")
    browser_of(user).post("/appearance/", {"theme": "dark"})
    user.refresh_from_db()
    assert user.theme == "dark"
    elsewhere = browser_of()
    elsewhere.post("/appearance/", {"theme": "light"})
    elsewhere.post("/sign-in/", {"username": "sora", "password": "a long enough password"})
    assert theme_of(elsewhere.get("/")) == "dark"
    elsewhere.post("/sign-out/")
    assert theme_of(elsewhere.get("/sign-in/")) == "dark"


def test_the_choice_made_before_signing_up_stays(client):
    client.post("/appearance/", {"theme": "light"})
    fields = {"username": "mina", "password1": "a long enough password", "password2": "a long enough password"}
    client.post("/sign-up/", fields)
    assert theme_of(client.get("/account/")) == "light"


@pytest.mark.parametrize("theme", ["blue", '"><script>', "DARK"])
def test_an_unknown_one_changes_nothing_and_a_forged_cookie_is_ignored(client, theme):
    assert "theme" not in client.post("/appearance/", {"theme": theme}).cookies
    client.cookies["theme"] = theme
    assert theme_of(client.get("/")) == ""


def test_leads_to_no_other_site(client):
    assert client.post("/appearance/", {"theme": "dark", "next": "https://elsewhere.example/"})["Location"] == "/"
