"""Sign-in, sign-out, sign-up and the password."""

import asyncio
import re
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from channels.layers import get_channel_layer
from django.contrib.auth import authenticate
from django.utils import timezone

from accounts.models import User
from accounts.throttle import FAILURES
from tests.people import PASSWORD

pytestmark = pytest.mark.django_db


def sign_in(client, name="sora", password=PASSWORD, **extra):
    return client.post("/sign-in/", {"username": name, "password": password}, **extra)


def test_the_right_password_leads_to_the_chat(client, person):
    user = person("sora")
    response = sign_in(client)
    assert response.status_code == 302
    assert response["Location"] == "/"
    assert int(client.session["_auth_user_id"]) == user.pk


def test_a_wrong_password_says_so_and_signs_nobody_in(client, person):
    person("sora")
    response = sign_in(client, password="wrong")
    assert response.status_code == 200
    assert "Wrong username or password" in response.content.decode()
    assert "_auth_user_id" not in client.session


def test_sign_in_leads_on_to_the_page_that_was_asked_for_but_to_no_other_site(client, person):
    person("sora")
    data = {"username": "sora", "password": PASSWORD}
    assert client.post("/sign-in/", data | {"next": "/password/"})["Location"] == "/password/"
    client.post("/sign-out/")
    assert client.post("/sign-in/", data | {"next": "https://elsewhere.example/"})["Location"] == "/"


def test_after_a_wrong_password_the_password_has_the_focus(client, person):
    assert re.search(r'name="username"[^>]* autofocus', client.get("/sign-in/").content.decode())
    page = sign_in(client, password="wrong").content.decode()
    assert re.search(r'name="password"[^>]* autofocus', page)
    assert not re.search(r'name="username"[^>]* autofocus', page)


def test_a_weak_password_is_reported_where_it_was_typed(client, person, settings):
    settings.SIGN_UP_OPEN = True
    form = client.post("/sign-up/", {"username": "nari", "password1": "12345", "password2": "12345"}).context["form"]
    assert "password1" in form.errors
    assert "password2" not in form.errors
    sora = person("sora")
    client.force_login(sora)
    sent = {"old_password": PASSWORD, "new_password1": "12345", "new_password2": "12345"}
    form = client.post("/password/", sent).context["form"]
    assert "new_password1" in form.errors
    assert "new_password2" not in form.errors


def test_after_ten_failures_even_the_right_password_waits(client, person):
    person("sora")
    for _ in range(FAILURES - 1):
        assert sign_in(client, password="wrong").status_code == 200
    assert sign_in(client).status_code == 302, "the tenth try is still free, and a success forgets the failures"
    client.post("/sign-out/")
    for _ in range(FAILURES):
        sign_in(client, password="wrong")
    response = sign_in(client)
    assert response.status_code == 429
    assert 3500 < int(response["Retry-After"]) <= 3600
    assert "Try again in 60 minutes" in response.content.decode()
    assert "_auth_user_id" not in client.session


def test_the_limit_is_of_one_name_from_one_address(client, person):
    person("sora")
    person("haneul")
    for _ in range(FAILURES):
        sign_in(client, password="wrong")
    assert sign_in(client, "SORA").status_code == 429, "upper case is no way around"
    forged = sign_in(client, headers={"X-Forwarded-For": "203.0.113.9"})
    assert forged.status_code == 429, "what the sender writes is no address"
    assert sign_in(client, REMOTE_ADDR="203.0.113.9").status_code == 302
    client.post("/sign-out/")
    assert sign_in(client, "haneul").status_code == 302


def test_the_limit_ends_after_an_hour(client, person, monkeypatch):
    person("sora")
    for _ in range(FAILURES):
        sign_in(client, password="wrong")
    now = timezone.now().timestamp()
    monkeypatch.setattr("accounts.throttle.time.time", lambda: now + 3601)
    assert sign_in(client).status_code == 302


def test_a_suspended_person_reads_until_when_and_why(client, person):
    until = timezone.now() + timedelta(days=2)
    person("sora", suspended_until=until, suspended_reason="insults")
    assert "suspended until" in sign_in(client).content.decode()
    assert "insults" in sign_in(client).content.decode()
    assert "insults" not in sign_in(client, password="wrong").content.decode(), "only who knows the password"


def test_suspension_ends_a_session_that_is_open(person, browser_of):
    user = person("sora")
    client = browser_of(user)
    assert client.get("/password/").status_code == 200
    User.objects.filter(pk=user.pk).update(suspended_until=timezone.now() + timedelta(days=1))
    assert client.get("/password/")["Location"] == "/sign-in/?next=/password/"


def test_simulated_annotators_cannot_sign_in(client, person):
    person("program", is_simulated=True)
    assert sign_in(client, "program").status_code == 200


def test_sign_out_takes_a_post(person, browser_of):
    client = browser_of(person("sora"))
    assert client.get("/sign-out/").status_code == 405
    assert client.post("/sign-out/")["Location"] == "/sign-in/"
    assert client.get("/password/").status_code == 302


def test_sign_out_rings_at_the_sockets_of_the_person(person, browser_of):
    user = person("sora")
    client = browser_of(user)

    async def wait():
        layer = get_channel_layer()
        await layer.group_add(f"user.{user.pk}", "specific.socket")
        await sync_to_async(client.post)("/sign-out/")
        return await asyncio.wait_for(layer.receive("specific.socket"), 5)

    assert async_to_sync(wait)() == {"type": "user.closed"}


def test_sign_up_signs_in(client):
    response = client.post("/sign-up/", {"username": "nari", "password1": PASSWORD, "password2": PASSWORD})
    assert response["Location"] == "/"
    assert client.get("/password/").status_code == 200
    assert User.objects.get(username="nari").groups.count() == 0


@pytest.mark.parametrize("password", ["short", "1234567890123", "password123", "chamsae-demo"])
def test_sign_up_refuses_a_poor_password(client, password):
    response = client.post("/sign-up/", {"username": "nari", "password1": password, "password2": password})
    assert response.status_code == 200
    assert "errorlist" in response.content.decode()
    assert not User.objects.filter(username="nari").exists()


def test_sign_up_can_be_closed(client, settings):
    settings.SIGN_UP_OPEN = False
    data = {"username": "nari", "password1": PASSWORD, "password2": PASSWORD}
    assert client.post("/sign-up/", data).status_code == 403
    assert "by invitation" in client.get("/sign-up/").content.decode()
    assert "/sign-up/" not in client.get("/sign-in/").content.decode()
    assert not User.objects.exists()


def test_password_change_signs_out_other_devices(person, browser_of):
    user = person("sora")
    here, there = browser_of(user), browser_of(user)
    new = "another long password"
    data = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert here.post("/password/", data)["Location"] == "/"
    assert here.get("/password/").status_code == 200
    assert there.get("/password/").status_code == 302
    user.refresh_from_db()
    assert user.check_password(new)


def test_password_change_asks_for_the_old_one(person, browser_of):
    user = person("sora")
    new = "another long password"
    data = {"old_password": "wrong", "new_password1": new, "new_password2": new}
    assert browser_of(user).post("/password/", data).status_code == 200
    user.refresh_from_db()
    assert user.check_password(PASSWORD)


def test_the_demo_password_is_refused_outside_a_demo(person, settings):
    user = person("demo-like")
    user.set_password(settings.DEMO_PASSWORD)
    user.save()
    settings.DEMO = False
    assert authenticate(username="demo-like", password=settings.DEMO_PASSWORD) is None
    settings.DEMO = True
    assert authenticate(username="demo-like", password=settings.DEMO_PASSWORD) == user
