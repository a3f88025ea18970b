"""Search: what is found in titles and messages, where it says so, and what a search never shows."""

import unicodedata

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from chat.conversations import search
from chat.conversations.sidebar import LENGTH
from chat.models import Conversation, Message

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(alice):
    client = Client(headers={"accept-language": "en"})
    client.force_login(alice)
    return client


def talk(owner, *texts, title="", **fields):
    conversation = Conversation.objects.create(owner=owner, title=title, **fields)
    for number, text in enumerate(texts):
        role = "assistant" if number % 2 else "user"
        Message.objects.create(conversation=conversation, role=role, text=text)
    return conversation


def found(owner, query):
    own = Conversation.objects.filter(owner=owner, deleted_at=None)
    return set(own.in_bulk(list(search.find(own, search.words_of(query)))).values())


def hit_in(conversation, query):
    words = search.words_of(query)
    found = search.find(Conversation.objects.filter(pk=conversation.pk), words)
    return search.hits(found.values(), words)[conversation.pk]


def shown(client, query, **more):
    return client.get("/conversations/", {"q": query, **more}).content.decode()


@pytest.mark.parametrize("query", ["무지개", "무지개 비", "개는 왜", unicodedata.normalize("NFD", "무지개")])
def test_korean_is_found_in_titles_and_messages(alice, query):
    by_title = talk(alice, title="비 온 뒤 무지개는 왜 생기나요")
    by_text = talk(alice, "저기", "비가 그치면 무지개는 왜 뜰까요?", title="하늘")
    talk(alice, "무지 개", "왜", title="다른 말")
    assert found(alice, query) == {by_title, by_text}


def test_hangul_is_found_whether_it_is_stored_as_syllables_or_as_letters(alice):
    stored = talk(alice, unicodedata.normalize("NFD", "참새 사진.png"))
    assert found(alice, "참새") == {stored}
    hit = hit_in(stored, "참새")
    assert [part.text for part in hit.parts if part.is_match] == ["참새"]


def test_every_word_has_to_stand_in_one_text_in_any_case_and_order(alice):
    wanted = talk(alice, "The SPARROW sings", "early")
    talk(alice, "a sparrow", "that sings")
    talk(alice, "sings only")
    assert found(alice, "sings sparrow") == {wanted}


@pytest.mark.parametrize("query", ["100%", "a_b", "back\\slash", "<b>", "'quoted'", '"'])
def test_signs_with_a_meaning_elsewhere_are_looked_for_as_they_are(alice, query):
    wanted = talk(alice, f"says {query} here")
    talk(alice, "100 and aXb and backslash and b and quoted")
    assert found(alice, query) == {wanted}


@pytest.mark.parametrize("query", ["", "   ", "\x00", "\x00\x1b", "\u202e"])
def test_a_query_without_words_is_no_search(client, alice, query):
    talk(alice, "anything", title="Birds")
    assert not search.words_of(query)
    assert "Birds" in shown(client, query)


def test_a_long_query_is_cut_and_harms_nobody(client, alice):
    talk(alice, "x")
    assert client.get("/conversations/", {"q": "word " * 3000}).status_code == 200


def test_the_list_shows_where_it_was_found(client, alice):
    conversation = talk(alice, "Hello", "x " * 200 + "the heron <i>waits</i>, and waits " + "y " * 200, title="Pond")
    text = shown(client, "heron")
    message = conversation.messages.get(role="assistant")
    assert f'href="/c/{conversation.pk}/?at={message.pk}"' in text
    assert "<mark>heron</mark>" in text
    assert "&lt;i&gt;waits" in text
    assert "Reply:" in text
    assert len(text.split('class="item-hit"')[1].split("</a>")[0]) < 600


def test_the_words_are_marked_in_a_title(client, alice):
    talk(alice, title="A grey Heron")
    assert "A grey <mark>Heron</mark>" in shown(client, "heron")


def test_of_several_messages_the_newest_is_shown(alice):
    conversation = talk(alice, "heron one", "heron two", "heron three", "nothing")
    hit = hit_in(conversation, "heron")
    assert "".join(part.text for part in hit.parts) == "heron three"
    assert hit.is_own


def test_what_is_hidden_deleted_or_of_others_is_not_found(client, alice):
    hidden = talk(alice, "dreadful heron")
    Message.objects.filter(conversation=hidden).update(hidden_at=timezone.now())
    talk(alice, "a heron", deleted_at=timezone.now())
    talk(User.objects.create_user("bob"), "bob's heron", title="heron")
    text = shown(client, "heron")
    assert "No title or message contains these words." in text
    assert "mark" not in text


def test_a_search_looks_into_the_archive_and_says_so(client, alice):
    talk(alice, "a heron", title="Old", archived_at=timezone.now())
    text = shown(client, "heron")
    assert "Old" in text
    assert "archived" in text


def test_a_search_over_ten_thousand_messages_asks_the_database_a_few_times(client, alice):
    made = Conversation.objects.bulk_create(
        Conversation(owner=alice, title=f"Talk {number}") for number in range(2 * LENGTH)
    )
    Message.objects.bulk_create(
        (
            Message(conversation=made[number % len(made)], role="user", text=f"message {number} about a heron")
            for number in range(10_000)
        ),
        batch_size=2000,
    )
    with CaptureQueriesContext(connection) as queries:
        text = shown(client, "heron 9999")
    assert text.count("data-item=") == 1
    with CaptureQueriesContext(connection) as all_queries:
        assert shown(client, "heron", page=2).count("data-item=") == LENGTH
    assert len(queries) == len(all_queries), "the cost of a page does not grow with what was found"
    asked = [query["sql"] for query in all_queries]
    of_texts = [sql for sql in asked if '"chat_message"."text"' in sql and "LIKE" in sql]
    assert len(of_texts) == 1, "the texts are read once"
