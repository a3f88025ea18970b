"""Consent to others reading one's texts: the page, versions of its words, and whose counts."""

import json
from io import BytesIO
from zipfile import ZipFile

import pytest

from accounts import consent_texts, consents
from accounts.models import AuditEntry, Consent, ConsentText
from accounts.roles import Role
from tests.accounts.audit_faults import faults
from tests.consenting import agree, open_conversation
from tests.people import make_person

pytestmark = pytest.mark.django_db
PAGE, EDIT = "/account/consent/", "/site/consent/"


@pytest.fixture
def writer():
    return make_person("writer")


@pytest.fixture
def page(writer, client):
    client.force_login(writer)
    return client


@pytest.fixture
def boss():
    return make_person("boss", Role.ADMIN)


def change(boss, text="Other people read it.", **options):
    based_on = consent_texts.current().number
    return consent_texts.edit(text, "다른 사람이 읽습니다.", actor=boss, based_on=based_on, **options)


def test_it_is_given_and_withdrawn_on_a_page_and_both_are_kept(page, writer):
    assert consents.of(writer) is None
    page.post(PAGE, {"answer": "yes", "version": "1"})
    assert consents.of(writer).version == 1
    page.post(PAGE, {"answer": "yes", "version": "1"})  # sent twice
    page.post(PAGE, {"answer": "withdraw"})
    assert consents.of(writer) is None
    (kept,) = Consent.objects.filter(person=writer)
    assert kept.ended_at > kept.given_at


def test_withdrawing_switches_training_off_in_every_conversation(page, writer):
    conversation = open_conversation(writer)
    page.post(PAGE, {"answer": "withdraw"})
    agree(writer)
    conversation.refresh_from_db()
    assert not conversation.may_train, "a new consent does not open old conversations"


def test_new_words_are_asked_about_again_and_a_corrected_typo_is_not(boss, writer):
    agree(writer)
    change(boss, "Other people read them.", asks_again=False)
    assert consents.of(writer).version == 1
    assert not consents.is_to_be_asked(writer)
    change(boss)
    assert consents.of(writer) is None
    assert consents.is_to_be_asked(writer)
    agree(writer)
    assert consents.of(writer).version == 3
    assert [(one.version, one.ended_at is None) for one in writer.consents.all()] == [(3, True), (1, False)]


def test_nobody_agrees_to_words_that_changed_while_they_read(page, writer, boss):
    change(boss)
    answer = page.post(PAGE, {"answer": "yes", "version": "1"})
    assert answer.status_code == 409
    assert "Other people read it." in answer.content.decode()
    assert consents.of(writer) is None
    as_json = page.post(PAGE, {"answer": "yes", "version": "1"}, headers={"accept": "application/json"})
    assert as_json.json()["error"]["code"] == "other_words"


@pytest.mark.parametrize("version", ["", "0", "-1", "٣", "9" * 400, "1; drop"])
def test_a_version_that_is_none_is_refused(page, writer, version):
    assert page.post(PAGE, {"answer": "yes", "version": version}).status_code == 409
    assert consents.of(writer) is None


@pytest.mark.parametrize("answer", ["", "maybe"])
def test_an_answer_that_is_none_is_refused(page, answer):
    assert page.post(PAGE, {"answer": answer}).status_code == 400


def test_who_answered_no_is_not_asked_again_until_the_words_change(page, writer, boss):
    assert consents.is_to_be_asked(writer)
    page.post(PAGE, {"answer": "no"})
    writer.refresh_from_db()
    assert not consents.is_to_be_asked(writer)
    change(boss)
    assert consents.is_to_be_asked(writer)


@pytest.mark.parametrize("to", ["https://elsewhere.example/", "//elsewhere.example", "javascript:alert(1)"])
def test_it_leads_back_to_this_site_alone(page, to):
    assert page.post(PAGE, {"answer": "no", "next": to})["Location"] == PAGE
    assert page.post(PAGE, {"answer": "no", "next": "/c/1/"})["Location"] == "/c/1/"


def test_the_words_are_shown_in_the_language_of_the_page(page):
    assert "Who reads them." in page.get(PAGE).content.decode()
    assert "읽는 사람." in page.get(PAGE, headers={"accept-language": "ko"}).content.decode()


def test_admins_change_the_words_with_an_entry_and_others_do_not(client, boss, writer):
    client.force_login(boss)
    sent = {"text_en": "New\r\nwords", "text_ko": "새 문구", "asks_again": "on", "based_on": "1"}
    preview = client.post(EDIT, {**sent, "preview": "1"})
    assert ConsentText.objects.count() == 0
    assert "Not saved yet." in preview.content.decode()
    assert client.post(EDIT, sent).status_code == 302
    assert consent_texts.current().text_en == "New\nwords"
    assert AuditEntry.objects.get(verb="consent.edit").after["version"] == 2
    assert faults() == []
    late = client.post(EDIT, {**sent, "text_en": "Even newer"})
    assert (late.status_code, consent_texts.current().number) == (400, 2)
    assert "Even newer" in late.content.decode()
    client.force_login(writer)
    assert client.post(EDIT, sent).status_code == 403


@pytest.mark.parametrize("text", ["", "x" * 10_001])
def test_words_that_are_none_or_too_many_are_refused(client, boss, text):
    client.force_login(boss)
    answer = client.post(EDIT, {"text_en": text, "text_ko": "새 문구", "based_on": "1"})
    assert (answer.status_code, ConsentText.objects.count()) == (400, 0)


def test_the_switch_in_the_chat_asks_first(page, writer):
    conversation = open_conversation(writer)
    page.post(PAGE, {"answer": "withdraw"})
    address = f"/c/{conversation.pk}/consent/"
    refused = page.post(address, {"may_train": "on"}, headers={"accept": "application/json"})
    assert (refused.status_code, refused.json()["may_train"]) == (409, False)
    assert page.post(address, {"may_train": "on"})["Location"] == f"{PAGE}?next=/c/{conversation.pk}/"
    assert 'id="consent-words"' in page.get(f"/c/{conversation.pk}/").content.decode()
    agree(writer)
    page.post(address, {"may_train": "on"})
    conversation.refresh_from_db()
    assert conversation.may_train
    assert 'id="consent-words"' not in page.get(f"/c/{conversation.pk}/").content.decode()


def test_a_chat_asks_by_itself_only_where_training_would_be_on(page, settings):
    asked = 'id="consent-asked"'
    assert asked not in page.get("/").content.decode()
    settings.CHAT_CONSENT_DEFAULT = True
    first = page.get("/").content.decode()
    assert asked in first
    assert 'name="may_train" >' in first or 'name="may_train"  ' in first
    page.post(PAGE, {"answer": "no"})
    assert asked not in page.get("/").content.decode()


def test_takeout_has_each_answer(page, writer):
    agree(writer)

    archive = ZipFile(BytesIO(page.get("/account/data/").content))
    (row,) = json.loads(archive.read("tables/accounts.Consent.json"))
    assert (row["version"], row["ended_at"]) == (1, None)
