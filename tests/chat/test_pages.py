"""The pages of the chat: what they show, to whom, in which language, and under which security header."""

import re
import uuid
from pathlib import Path

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from accounts.models import User
from accounts.roles import GROUPS, Role
from chat.conversations.sidebar import LENGTH
from chat.conversations.titles import TITLE_CHARS, title_from
from chat.models import Chunk, Conversation, Message, Policy, Reply
from tests.consenting import agree

ROOT = Path(__file__).parent.parent.parent
STRICT = {
    "default-src": "'self'",
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",
    "object-src": "'none'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
    "form-action": "'self'",
}
pytestmark = pytest.mark.django_db


def somebody(name="alice", role=Role.CHATTER):
    user = User.objects.create_user(name, password="not the demo one", is_superuser=role is Role.ADMIN)
    if role in GROUPS:
        user.groups.add(Group.objects.get_or_create(name=role.value)[0])
    return user


def browser(user=None, language="en", **options):
    client = Client(headers={"accept-language": language}, **options)
    if user:
        client.force_login(user)
    return client


def say(conversation, question, answer, parent=None, state=Reply.State.COMPLETE, **fields):
    """A question with its reply; returns the reply's message."""
    asked = Message.objects.create(conversation=conversation, parent=parent, role="user", text=question)
    said = Message.objects.create(conversation=conversation, parent=asked, role="assistant", text=answer)
    Reply.objects.create(message=said, state=state, **fields)
    return said


def page_of(conversation, user=None, **options):
    response = browser(user or conversation.owner, **options).get(f"/c/{conversation.pk}/")
    assert response.status_code == 200
    return response.content.decode()


def check_header(response):
    parts = (part.strip().split(" ", 1) for part in response["Content-Security-Policy"].split(";"))
    assert {name: value for name, value in parts if name in STRICT} == STRICT
    assert "unsafe" not in response["Content-Security-Policy"]


# --- who sees what ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "words"), [("en", "learns from the people"), ("ko", "")])
def test_strangers_see_what_the_site_is(language, words):
    response = browser(language=language).get("/")
    text = response.content.decode()
    assert words in text
    assert 'href="/sign-in/"' in text
    assert 'href="/sign-up/"' in text
    check_header(response)


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("role", [Role.CHATTER, Role.ANNOTATOR, Role.MODERATOR, Role.ADMIN])
def test_every_page_opens_for_its_role_in_both_languages(role, language):
    user = somebody(role=role)
    conversation = Conversation.objects.create(owner=user, title="Birds")
    say(conversation, "What is a sparrow?", "A *small* bird.")
    client = browser(user, language)
    addresses = ["/", f"/c/{conversation.pk}/", "/conversations/", "/password/"]
    if role in (Role.MODERATOR, Role.ADMIN):
        addresses.append("/audit-log/")
    for address in addresses:
        response = client.get(address)
        assert response.status_code == 200, address
        assert response["Content-Language"] == language
        check_header(response)


@pytest.mark.parametrize("verb", ["", "rename/", "delete/", "consent/", "restore/"])
def test_a_stranger_s_conversation_looks_like_none_at_all(verb):
    conversation = Conversation.objects.create(owner=somebody("bob"), title="secret plans")
    for role in (Role.CHATTER, Role.MODERATOR, Role.ADMIN):
        client = browser(somebody(f"a-{role.value}", role))
        request = client.post if verb else client.get
        foreign = request(f"/c/{conversation.pk}/{verb}", {"title": "x"})
        missing = request(f"/c/{uuid.uuid4()}/{verb}", {"title": "x"})
        assert foreign.status_code == missing.status_code == 404
        assert "secret" not in foreign.content.decode()
    conversation.refresh_from_db()
    assert (conversation.title, conversation.may_train, conversation.deleted_at) == ("secret plans", False, None)


def test_the_list_shows_own_conversations_only():
    alice, bob = somebody("alice"), somebody("bob")
    Conversation.objects.create(owner=alice, title="mine")
    Conversation.objects.create(owner=alice, title="thrown away", deleted_at=timezone.now())
    Conversation.objects.create(owner=bob, title="of another")
    text = browser(alice).get("/conversations/").content.decode()
    assert "mine" in text
    assert "thrown away" not in text
    assert "of another" not in text


def test_the_list_is_searched_by_title_and_paged():
    alice = somebody()
    Conversation.objects.bulk_create(Conversation(owner=alice, title=f"number {i:03}") for i in range(LENGTH + 1))
    Conversation.objects.create(owner=alice, title="무지개는 왜 생기나요?")
    client = browser(alice)
    assert client.get("/conversations/").content.decode().count("data-item=") == LENGTH
    assert client.get("/conversations/?page=2").content.decode().count("data-item=") == 2
    found = client.get("/conversations/", {"q": "무지개"}).content.decode()
    assert found.count("data-item=") == 1
    assert "contains these words" in client.get("/conversations/", {"q": "<script>"}).content.decode()


# --- a conversation ---------------------------------------------------------------------------------------------


@pytest.fixture
def conversation():
    return Conversation.objects.create(owner=somebody(), title="Birds")


def test_a_complete_reply_is_shown_as_sanitised_html(conversation):
    say(
        conversation, "<b>hi</b>", "A **small** bird. <script>alert(1)</script> ![x](https://elsewhere.example/x.png)"
    )
    text = page_of(conversation)
    assert "<strong>small</strong>" in text
    assert "&lt;b&gt;hi&lt;/b&gt;" in text
    assert "<script>alert" not in text
    assert 'src="https://' not in text


def test_the_branch_of_the_newest_message_is_shown(conversation):
    first = say(conversation, "question one", "answer one")
    say(conversation, "abandoned question", "abandoned answer", parent=first)
    say(conversation, "newer question", "newer answer", parent=first)
    text = re.sub(r"<template data-source>.*?</template>", "", page_of(conversation))  # what a copy is made from
    shown = [words for words in re.findall(r"(question one|answer one|newer question|newer answer)", text)]
    assert shown == ["question one", "answer one", "newer question", "newer answer"]
    assert "abandoned" not in text


def test_hidden_messages_leave_a_note_and_no_text(conversation):
    reply = say(conversation, "a question", "dreadful words")
    Message.objects.filter(pk=reply.pk).update(hidden_at=timezone.now())
    text = page_of(conversation)
    assert "dreadful" not in text
    assert "A moderator has hidden this reply." in text


def test_a_live_reply_carries_what_is_written_and_from_where_to_go_on(conversation):
    said = say(conversation, "a question", "", state=Reply.State.STREAMING)
    Chunk.objects.bulk_create(Chunk(reply=said.reply, seq=n, text=t) for n, t in ((1, "Once <"), (2, "upon")))
    text = page_of(conversation)
    assert "Once &lt;upon" in text
    assert 'data-seq="2"' in text
    assert 'data-state="streaming"' in text


@pytest.mark.parametrize(
    ("state", "error", "words", "can_retry"),
    [
        (Reply.State.STOPPED, "", "You stopped this reply", False),
        (Reply.State.INTERRUPTED, "talker_gone", "cut off", True),
        (Reply.State.FAILED, "engine_down", "engine", True),
        (Reply.State.FAILED, "no such code", "No reply was written", True),
    ],
)
def test_how_a_reply_ended_is_said_in_words(conversation, state, error, words, can_retry):
    say(conversation, "a question", "part", state=state, error=error)
    article = page_of(conversation).split('class="turn assistant"')[1].split("</article>")[0]
    assert words in article
    assert bool(re.search(r"data-retry\s*>", article)) == can_retry


def test_a_reply_without_a_word_says_so(conversation):
    said = say(conversation, "a question", " \n")
    assert "without a word" in page_of(conversation).split('class="turn assistant"')[1].split("</article>")[0]
    Message.objects.filter(pk=said.pk).update(text="a word")
    assert "without a word" not in page_of(conversation).split('class="turn assistant"')[1].split("</article>")[0]


def test_a_reply_that_goes_on_is_not_said_to_have_a_chosen_beginning(conversation):
    cut = say(conversation, "a question", "Once upon", state=Reply.State.STOPPED)
    for prefix, words, others in (
        ("Once upon", "This continues an earlier version", "You chose how this reply begins"),
        ("Twice", "You chose how this reply begins", "This continues an earlier version"),
    ):
        said = conversation.messages.create(parent=cut.parent, role="assistant", text=prefix + "!")
        Reply.objects.create(message=said, state=Reply.State.COMPLETE, prefix=prefix)
        Conversation.objects.update(tip=said)
        page = page_of(conversation)
        assert words in page
        assert others not in page
        assert "not used for training" in page


def test_each_reply_carries_the_version_that_wrote_it(conversation):
    policy = Policy.objects.create(name="policy-7", version=7, made_from_simulated=True)
    say(conversation, "a question", "an answer", policy=policy)
    text = page_of(conversation)
    assert "policy-7 · v7" in text
    assert re.search(r"data-simulated\s*>trained on simulated judgements", text)  # the template of a turn hides it


def test_each_ended_reply_can_be_copied_and_reported(conversation):
    done = say(conversation, "a question", "an answer")
    live = say(conversation, "another", "", parent=done, state=Reply.State.STREAMING)
    articles = page_of(conversation).split('class="turn assistant"')[1:3]
    assert f'href="/messages/{done.pk}/report/"' in articles[0]
    assert [bool(re.search(r"data-actions\s+hidden", article)) for article in articles] == [False, True]
    assert f'data-reply="{live.reply.pk}"' in articles[1]


def test_a_first_message_names_its_conversation():
    author = somebody()
    agree(author)
    client = browser(author)
    response = client.post(
        "/conversations/new/",
        {"text": "What is\n a  rainbow?", "may_train": "on"},
        headers={"accept": "application/json"},
    )
    assert response.status_code == 201
    made = Conversation.objects.get(pk=response.json()["id"])
    assert (made.title, made.may_train) == ("What is a rainbow?", True)
    assert client.post("/conversations/new/", {"text": "x"})["Location"].startswith("/c/")


@pytest.mark.parametrize("text", ["x" * 10_000, "가" * 500, "a\x00b\x1b[31m", "\u202e" * 80, "", "   \n"])
def test_any_text_gives_a_title(text):
    title = title_from(text)
    assert len(title) <= TITLE_CHARS
    assert title.isprintable()


def test_rename_consent_delete_and_undo(conversation):
    agree(conversation.owner)
    client = browser(conversation.owner)
    address = f"/c/{conversation.pk}/"
    client.post(address + "rename/", {"title": " 새  이름 "})
    client.post(address + "consent/", {"may_train": "on"})
    conversation.refresh_from_db()
    assert (conversation.title, conversation.may_train) == ("새 이름", True)
    client.post(address + "consent/", {})
    conversation.refresh_from_db()
    assert not conversation.may_train
    said = say(conversation, "a question", "", state=Reply.State.STREAMING)
    gone = client.post(address + "delete/", follow=True)
    said.reply.refresh_from_db()
    assert said.reply.stop_requested, "nobody reads it any more"
    assert client.get(address).status_code == 404
    assert f'action="{address}restore/"' in gone.content.decode()
    assert client.post(address + "restore/")["Location"] == address
    assert client.get(address).status_code == 200


def test_changes_need_a_post(conversation):
    client = browser(conversation.owner)
    for verb in ("rename", "delete", "restore", "consent"):
        assert client.get(f"/c/{conversation.pk}/{verb}/").status_code == 405


# --- errors and the security header -----------------------------------------------------------------------------


def test_each_error_says_what_happened_and_what_to_do(monkeypatch):
    client = browser(somebody(), raise_request_exception=False)
    missing = client.get("/no/such/page/")
    assert (missing.status_code, "Page not found" in missing.content.decode()) == (404, True)
    forbidden = client.get("/audit-log/")
    assert (forbidden.status_code, "No access with this account" in forbidden.content.decode()) == (403, True)
    bad = client.get("/", headers={"host": "elsewhere.example"})
    assert (bad.status_code, "Bad request" in bad.content.decode()) == (400, True)
    monkeypatch.setattr("chat.views.pages.around", lambda *_: 1 / 0)
    broken = client.get("/")
    assert (broken.status_code, "Something went wrong" in broken.content.decode()) == (500, True)
    no_token = browser(enforce_csrf_checks=True).post("/sign-in/", {})
    assert (no_token.status_code, "has expired" in no_token.content.decode()) == (403, True)
    for response in (missing, forbidden, bad, broken, no_token):
        check_header(response)


def test_a_demo_shows_the_same_page_for_what_is_missing(settings, conversation):
    settings.DEMO = True
    text = browser(somebody("bob")).get(f"/c/{conversation.pk}/").content.decode()
    assert "Page not found" in text
    assert "urlpatterns" not in text


def test_templates_hold_no_inline_script_style_or_handler():
    inline = re.compile(
        r"<script(?![^>]*\bsrc=)|<style|\sstyle\s*=|\son[a-z]+\s*=\s*[\"']|javascript:|"
        r"\|\s*safe\b|{%\s*autoescape off",
        re.IGNORECASE,
    )
    allowed = {("includes/field.html", "|safe")}  # help texts are written by us
    found = [
        (str(path.relative_to(ROOT / "templates")), match.group())
        for path in sorted((ROOT / "templates").rglob("*.html"))
        for match in inline.finditer(path.read_text(encoding="utf-8"))
    ]
    assert [hit for hit in found if hit not in allowed] == []


def test_pages_ask_no_foreign_host(conversation):
    say(conversation, "a question", "an answer")
    for text in (page_of(conversation), browser().get("/").content.decode()):
        addresses = re.findall(r'\s(?:src|href|action)="([^"]+)"', text)
        assert addresses
        assert [address for address in addresses if not address.startswith(("/", "#", "?"))] == []


def test_scripts_make_html_only_of_what_the_server_made():
    uses = [
        (path.name, line.strip())
        for path in sorted((ROOT / "static/js").rglob("*.js"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", line)
    ]
    allowed = {"bell.js", "turns.js", "list.js", "feedback.js", "path.js", "share.js"}
    assert {name for name, _ in uses} <= allowed, uses
