"""API keys: shown once, kept as a hash, limited, revoked; by pages and by the command."""

import json

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts import keys
from accounts.models import ApiKey, AuditEntry
from accounts.roles import Role
from base import shared_cache

pytestmark = pytest.mark.django_db


def make_on_page(browser, **fields):
    return browser.post("/account/keys/", {"name": "notebook", **fields})


def test_a_key_is_shown_once_and_kept_nowhere(person, browser_of):
    browser = browser_of(person("sora"))
    made = make_on_page(browser)
    assert made.status_code == 201
    secret = made.context["secret"]
    assert secret in made.content.decode()
    assert "no-store" in made["Cache-Control"]
    assert secret not in browser.get("/account/keys/").content.decode()
    everything = [str(row) for model in apps.get_models() for row in model._default_manager.values()]
    assert len(everything) > 3
    assert [row for row in everything if secret in row] == []
    assert keys.find(secret) == ApiKey.objects.get()
    assert keys.find(secret[:-1]) is None
    assert keys.find(ApiKey.objects.get().sha256) is None


def test_who_reloads_the_page_makes_no_second_key(person, browser_of):
    browser = browser_of(person("sora"))
    make_on_page(browser)
    again = make_on_page(browser)
    assert again.status_code == 400
    assert "already" in again.content.decode()
    assert ApiKey.objects.count() == 1


def test_a_revoked_key_s_name_is_free_again(person, browser_of):
    sora = person("sora")
    key, _ = keys.make(sora, "notebook")
    keys.revoke(key, actor=sora)
    assert make_on_page(browser_of(sora)).status_code == 201


def test_the_form_s_scopes_and_limit_are_the_key_s(person, browser_of):
    make_on_page(browser_of(person("sora")), scopes=["models", "completions"], requests_per_minute="7")
    key = ApiKey.objects.get()
    assert (key.scopes, key.requests_per_minute) == (["completions", "models"], 7)
    entry = AuditEntry.objects.get(verb="key.create")
    assert entry.actor == key.owner
    assert entry.after == {"owner": key.owner_id, "scopes": key.scopes, "requests_per_minute": 7}


def test_the_figures_of_the_site_are_for_keys_of_admins(person, browser_of):
    assert make_on_page(browser_of(person("sora")), scopes=["admin"]).status_code == 400
    boss = person("boss", Role.ADMIN)
    assert make_on_page(browser_of(boss), scopes=["admin"]).status_code == 201
    key = ApiKey.objects.get()
    assert keys.may(key, "admin")
    boss.groups.clear()  # no admin any more
    assert not keys.may(ApiKey.objects.get(), "admin")


@pytest.mark.parametrize(
    ("scopes", "reached"),
    [
        ([], {"models", "completions", "files", "fine_tuning"}),
        (["admin"], {"models", "completions", "files", "fine_tuning", "admin"}),
        (["files"], {"files"}),
        (["files", "admin"], {"files", "admin"}),
    ],
)
def test_a_key_reaches_what_its_scopes_say(person, scopes, reached):
    key, _ = keys.make(person("boss", Role.ADMIN), "k", scopes=scopes)
    assert {scope for scope in keys.SCOPES if keys.may(key, scope)} == reached


@pytest.mark.parametrize(
    "fields",
    [
        {"is_active": False},
        {"suspended_until": timezone.now() + timezone.timedelta(days=1)},
        {"deletion_due_at": timezone.now() + timezone.timedelta(days=7)},
    ],
    ids=["closed", "suspended", "leaving"],
)
def test_who_may_not_come_in_comes_in_by_no_key(person, fields):
    sora = person("sora")
    _key, secret = keys.make(sora, "notebook")
    assert keys.find(secret) is not None
    type(sora).objects.filter(pk=sora.pk).update(**fields)
    assert keys.find(secret) is None


def test_requests_are_counted_by_the_minute(person, settings, monkeypatch):
    settings.API_REQUESTS_PER_MINUTE = 2
    monkeypatch.setattr(shared_cache.time, "time", lambda: 6_000_030.0)
    usual, _ = keys.make(person("sora"), "usual")
    own, _ = keys.make(usual.owner, "own", requests_per_minute=3)
    never, _ = keys.make(usual.owner, "never", requests_per_minute=0)

    def answered(key):
        waits = []
        for _ in range(5):
            try:
                keys.check_rate(key)
            except keys.KeyRateLimited as refused:
                waits.append(refused.retry_after_s)
        assert set(waits) == {30}
        return 5 - len(waits)

    assert [answered(key) for key in (usual, own, never)] == [2, 3, 0]
    monkeypatch.setattr(shared_cache.time, "time", lambda: 6_000_060.0)
    keys.check_rate(usual)
    with pytest.raises(keys.KeyRateLimited):
        keys.check_rate(never)


# --- revoking -----------------------------------------------------------------------------------------------------


def test_a_key_is_revoked_after_a_question(person, browser_of):
    sora = person("sora")
    key, secret = keys.make(sora, "notebook")
    browser = browser_of(sora)
    address = f"/account/keys/{key.pk}/revoke/"
    assert "notebook" in browser.get(address).content.decode()
    assert keys.find(secret) is not None
    assert browser.post(address)["Location"] == "/account/keys/"
    assert browser.post(address).status_code == 302
    assert keys.find(secret) is None
    assert AuditEntry.objects.get(verb="key.revoke").actor == sora
    assert "revoked" in browser.get("/account/keys/").content.decode()


def test_another_s_key_is_not_there_except_for_admins(person, browser_of):
    key, secret = keys.make(person("sora"), "notebook")
    address = f"/account/keys/{key.pk}/revoke/"
    for role in (Role.CHATTER, Role.MODERATOR):
        browser = browser_of(person(role.value, role))
        assert browser.get(address).status_code == browser.post(address).status_code == 404
    assert keys.find(secret) is not None
    boss = person("boss", Role.ADMIN)
    assert browser_of(boss).post(address)["Location"] == "/site/keys/"
    assert keys.find(secret) is None
    assert AuditEntry.objects.get(verb="key.revoke").actor == boss


def test_admins_see_everybody_s_keys_and_no_secret(person, browser_of):
    _key, secret = keys.make(person("sora"), "notebook")
    keys.make(person("mina"), "robot")
    browser = browser_of(person("boss", Role.ADMIN))
    page = browser.get("/site/keys/").content.decode()
    assert "notebook" in page
    assert "robot" in page
    assert secret[6:-4] not in page
    only = browser.get("/site/keys/", {"owner": "mina"}).content.decode()
    assert "robot" in only
    assert "notebook" not in only


def test_the_last_use_is_noted_but_not_each(person):
    key, _ = keys.make(person("sora"), "notebook")
    keys.note_use(key)
    key.refresh_from_db()
    first = key.last_used_at
    assert first is not None
    keys.note_use(key)
    key.refresh_from_db()
    assert key.last_used_at == first
    ApiKey.objects.update(last_used_at=first - 2 * keys.USE_NOTED_EVERY)
    key.refresh_from_db()
    keys.note_use(key)
    key.refresh_from_db()
    assert key.last_used_at >= first


# --- the command --------------------------------------------------------------------------------------------------


def told(capsys):
    return json.loads(capsys.readouterr().out)


def test_the_command_prints_the_secret_and_all_that_it_made(person, capsys):
    person("sora")
    call_command("create_api_key", "sora", "--name", "tests", "--requests-per-minute", "0", "--json")
    made = told(capsys)
    key = keys.find(made["key"])
    assert key is not None
    assert made == {
        "key": made["key"],
        "id": key.pk,
        "name": "tests",
        "owner": "sora",
        "scopes": [],
        "requests_per_minute": 0,
    }
    assert AuditEntry.objects.get(verb="key.create").actor is None


def test_the_command_without_json_prints_the_secret_alone(person, capsys):
    person("boss", Role.ADMIN)
    call_command("create_api_key", "boss", "--name", "figures", "--admin", "--scope", "models")
    key = keys.find(capsys.readouterr().out.strip())
    assert key is not None
    assert key.scopes == ["admin", "models"]


@pytest.mark.parametrize(
    ("words", "code"),
    [(["nobody", "--name", "n"], 2), (["sora", "--name", "n", "--admin"], 1)],
)
def test_the_command_says_why_there_is_no_key(person, capsys, words, code):
    person("sora")
    with pytest.raises(CommandError) as refused:
        call_command("create_api_key", *words, "--json")
    assert refused.value.returncode == code
    assert not ApiKey.objects.exists()


def test_a_limit_below_nothing_is_a_mistake_in_usage(person):
    person("sora")
    with pytest.raises(CommandError) as refused:
        call_command("create_api_key", "sora", "--name", "n", "--requests-per-minute=-1")
    assert refused.value.returncode == 2
