"""Shared links: who makes and revokes them, what the world sees of a conversation, and when it sees nothing."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from chat.models import Conversation, Message, Policy, Reply, SharedLink

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(alice):
    client = Client(headers={"accept-language": "en"})
    client.force_login(alice)
    return client


@pytest.fixture
def stranger():
    return Client(headers={"accept-language": "en"})


def say(conversation, question, answer, parent=None, state=Reply.State.COMPLETE):
    asked = Message.objects.create(conversation=conversation, parent=parent, role="user", text=question)
    said = Message.objects.create(conversation=conversation, parent=asked, role="assistant", text=answer)
    policy, _ = Policy.objects.get_or_create(name="policy-1", version=1)
    Reply.objects.create(message=said, state=state, policy=policy)
    return said


def share(client, conversation):
    assert client.post(f"/c/{conversation.pk}/share/").status_code == 201
    return SharedLink.objects.filter(conversation=conversation).first()


def address(link):
    return f"/s/{link.token}/"


def test_whoever_has_the_link_reads_the_path_as_it_was(client, stranger, conversation):
    first = say(conversation, "first question", "**first** answer")
    say(conversation, "abandoned question", "abandoned answer", first)
    second = say(conversation, "second question", "second answer", first)
    link = share(client, conversation)
    say(conversation, "later question", "later answer", second)
    page = stranger.get(address(link))
    text = page.content.decode()
    assert page.status_code == 200
    assert [words in text for words in ("first question", "<strong>first</strong>", "second answer")] == [True] * 3
    assert "abandoned" not in text
    assert "later" not in text
    assert "alice" not in text, "who shares is not told"
    assert "<form" not in text.split("<main")[1].split("</main>")[0], "there is nothing to be done there"


def test_the_page_keeps_out_of_search_engines_caches_and_referrers(client, stranger, conversation):
    say(conversation, "a question", "an answer")
    page = stranger.get(address(share(client, conversation)))
    assert "noindex" in page["X-Robots-Tag"]
    assert '<meta name="robots" content="noindex' in page.content.decode()
    assert page["Referrer-Policy"] == "no-referrer"
    assert "no-store" in page["Cache-Control"]


def test_a_token_is_long_and_every_link_has_its_own(client, conversation):
    first = say(conversation, "a question", "an answer")
    one = share(client, conversation)
    assert share(client, conversation) == one, "the same path is the same link"
    say(conversation, "another", "answer", first)
    other = share(client, conversation)
    assert other.token != one.token
    assert min(len(other.token), len(one.token)) >= 43


def test_a_revoked_link_finds_nothing(client, stranger, conversation):
    say(conversation, "a question", "an answer")
    link = share(client, conversation)
    assert client.post(f"/links/{link.pk}/revoke/").status_code == 302
    gone, never = stranger.get(address(link)), stranger.get("/s/no-such-link/")
    assert gone.status_code == never.status_code == 404
    assert address(link) not in client.get(f"/c/{conversation.pk}/share/").content.decode()
    again = share(client, conversation)
    assert again.token != link.token, "a revoked address never works again"


@pytest.mark.parametrize(
    ("of_owner", "change"),
    [
        (False, {"deleted_at": timezone.now()}),
        (True, {"is_active": False}),
        (True, {"suspended_until": timezone.now() + timedelta(days=1)}),
        (True, {"deletion_due_at": timezone.now() + timedelta(days=7)}),
    ],
)
def test_nothing_is_shown_of_what_is_deleted_or_of_an_owner_who_is_shut_out(
    client, stranger, conversation, alice, of_owner, change
):
    say(conversation, "a question", "an answer")
    link = share(client, conversation)
    rows = User.objects.filter(pk=alice.pk) if of_owner else Conversation.objects.filter(pk=conversation.pk)
    rows.update(**change)
    assert stranger.get(address(link)).status_code == 404


def test_a_suspension_that_is_over_shows_it_again(client, stranger, conversation, alice):
    say(conversation, "a question", "an answer")
    link = share(client, conversation)
    User.objects.filter(pk=alice.pk).update(suspended_until=timezone.now() - timedelta(seconds=1))
    assert stranger.get(address(link)).status_code == 200


def test_hidden_and_blocked_texts_are_not_in_it(client, stranger, conversation):
    first = say(conversation, "dreadful question", "dreadful answer")
    blocked = say(conversation, "fine question", "forbidden words", first, Reply.State.BLOCKED)
    say(conversation, "last question", "last answer", blocked)
    link = share(client, conversation)
    Message.objects.filter(text__startswith="dreadful").update(hidden_at=timezone.now())
    text = stranger.get(address(link)).content.decode()
    assert "dreadful" not in text
    assert "forbidden words" not in text
    assert "A moderator has hidden this message." in text
    assert "A moderator has hidden this reply." in text
    assert "last answer" in text


def test_a_model_s_script_does_nothing_there(client, stranger, conversation):
    say(conversation, "<script>alert(1)</script>", "<img src=x onerror=alert(1)> [a](javascript:alert(1))")
    page = stranger.get(address(share(client, conversation)))
    text = page.content.decode()
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert 'href="javascript' not in text
    assert "'self'" in page["Content-Security-Policy"]


def test_nobody_shares_or_revokes_what_is_another_s(client, stranger, conversation):
    say(conversation, "a question", "an answer")
    link = share(client, conversation)
    bob = Client()
    bob.force_login(User.objects.create_user("bob"))
    assert bob.post(f"/c/{conversation.pk}/share/").status_code == 404
    assert bob.get(f"/c/{conversation.pk}/share/").status_code == 404
    assert bob.post(f"/links/{link.pk}/revoke/").status_code == 404
    assert address(link) not in bob.get("/links/").content.decode()
    assert stranger.get(address(link)).status_code == 200


def test_an_empty_conversation_cannot_be_shared(client, conversation):
    page = client.post(f"/c/{conversation.pk}/share/")
    assert page.status_code == 409
    assert "no messages to share" in page.content.decode()
    assert not SharedLink.objects.exists()


def test_the_links_of_a_person_stand_on_one_page(client, conversation):
    say(conversation, "a question", "an answer")
    link = share(client, conversation)
    page = client.get("/links/").content.decode()
    assert f"http://testserver{address(link)}" in page
    back = client.post(f"/links/{link.pk}/revoke/", {"back": "shared_links"})
    assert back["Location"] == "/links/"
    assert "You have not shared any conversations" in client.get("/links/").content.decode()
