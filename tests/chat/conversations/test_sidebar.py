"""The list: sections, pins, the archive, titles, and what a script is told after each change."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import User
from chat.conversations import removal, titles
from chat.conversations.sidebar import listing
from chat.models import Conversation, Message, Reply

JSON = {"accept": "application/json"}


@pytest.fixture
def client(alice):
    client = Client(headers={"accept-language": "en"})
    client.force_login(alice)
    return client


def change(client, conversation, verb, **fields):
    answer = client.post(f"/c/{conversation.pk}/{verb}/", fields, headers=JSON)
    assert answer.status_code == 200
    conversation.refresh_from_db()
    return answer.json()


@pytest.mark.django_db
def test_conversations_stand_in_sections_by_pin_and_day(alice):
    noon = timezone.localtime().replace(hour=12, minute=0)
    for title, days in (("now", 0), ("a day", 1), ("three days", 3), ("twenty days", 20), ("long", 400)):
        Conversation.objects.create(owner=alice, title=title, updated_at=noon - timedelta(days=days))
    Conversation.objects.create(owner=alice, title="kept", updated_at=noon - timedelta(days=90), pinned_at=noon)
    shown = listing(alice.conversations.all(), "", None)
    assert [(section.name, [item.conversation.title for item in section.items]) for section in shown.sections] == [
        ("Pinned", ["kept"]),
        ("Today", ["now"]),
        ("Yesterday", ["a day"]),
        ("Last 7 days", ["three days"]),
        ("Last 30 days", ["twenty days"]),
        ("Older", ["long"]),
    ]


@pytest.mark.django_db
def test_the_archive_is_a_list_of_its_own(client, alice, conversation):
    Conversation.objects.create(owner=alice, title="Frogs")
    Conversation.objects.filter(pk=conversation.pk).update(title="Herons")
    assert change(client, conversation, "archive", is_on="on")["is_archived"]
    usual, archive = (client.get(f"/conversations/{query}").content.decode() for query in ("", "?archive"))
    assert ("Herons" in usual, "Frogs" in usual) == (False, True)
    assert ("Herons" in archive, "Frogs" in archive) == (True, False)
    assert not change(client, conversation, "archive", is_on="")["is_archived"]
    assert "Herons" in client.get("/conversations/").content.decode()


@pytest.mark.django_db
def test_a_pin_and_the_archive_exclude_each_other(client, conversation):
    assert change(client, conversation, "pin", is_on="on")["is_pinned"]
    assert change(client, conversation, "archive", is_on="on")["is_pinned"] is False
    assert change(client, conversation, "pin", is_on="on")["is_archived"] is False
    assert change(client, conversation, "pin", is_on="")["is_pinned"] is False


@pytest.mark.django_db
def test_changing_a_line_of_the_list_does_not_move_it_to_its_head(client, conversation):
    before = conversation.updated_at
    change(client, conversation, "pin", is_on="on")
    change(client, conversation, "rename", title="Another")
    assert conversation.updated_at == before


@pytest.mark.django_db
def test_a_deletion_tells_a_script_how_to_take_it_back(client, conversation):
    undo = change(client, conversation, "delete")["undo"]
    assert conversation.deleted_at is not None
    assert client.post(undo, headers=JSON).json()["id"] == str(conversation.pk)
    conversation.refresh_from_db()
    assert conversation.deleted_at is None


@pytest.mark.django_db
def test_what_was_deleted_is_found_and_brought_back_while_it_is_kept(client, conversation):
    foreign = Conversation.objects.create(
        owner=User.objects.create_user("bob"), title="Foreign", deleted_at=timezone.now()
    )
    long_ago = timezone.now() - removal.KEPT - timedelta(minutes=1)
    Conversation.objects.create(owner=conversation.owner, title="Too late", deleted_at=long_ago)
    change(client, conversation, "rename", title="By mistake")
    assert "By mistake" not in client.get("/conversations/deleted/").content.decode()
    change(client, conversation, "delete")
    page = client.get("/conversations/deleted/").content.decode()
    assert "By mistake" in page
    assert "Too late" not in page
    assert foreign.title not in page
    assert f'action="/c/{conversation.pk}/restore/"' in page
    assert "/conversations/deleted/" in client.get("/?archive").content.decode()
    back = client.post(f"/c/{conversation.pk}/restore/")
    assert back.url == f"/c/{conversation.pk}/"
    conversation.refresh_from_db()
    assert conversation.deleted_at is None


# --- titles -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("What is\n a  rainbow?", "What is a rainbow?"),
        ("What is a rainbow? And why is it round? I saw one.", "What is a rainbow?"),
        ("Hi! Why do birds sing in the morning?", "Hi! Why do birds sing in the morning?"),
        ("무지개는 왜 생기나요? 자세히 알려 주세요.", "무지개는 왜 생기나요?"),
        ("안녕! 참새에 대해 알려 줘", "안녕! 참새에 대해 알려 줘"),
        ("# Plan for **today**\n- write `code`", "Plan for today write code"),
        ("Fix this:\n```python\nprint(1)\n```", "Fix this:"),
        ("```python\nprint(1)\n```", "```python print(1) ```"),
        ("Read https://www.example.org/a/very/long/path?with=query please", "Read example.org please"),
        ("**오늘**의 _날씨_는 어때?", "오늘의 _날씨_는 어때?"),
        ("snake_case, 2 * 3 and 2*3*4 stay", "snake_case, 2 * 3 and 2*3*4 stay"),
        ("one two three four five six seven eight nine ten eleven twelve thirteen", None),
    ],
)
def test_a_title_is_what_the_first_sentence_says(text, title):
    made = titles.title_from(text)
    assert made == title if title else made == "one two three four five six seven eight nine ten eleven…"


@given(st.text())
def test_any_text_gives_a_title_of_one_printable_line(text):
    title = titles.title_from(text)
    assert len(title) <= titles.TITLE_CHARS
    assert title.isprintable()
    assert bool(title) == bool(titles.on_one_line(text))
    assert titles.given(title) == title


@pytest.mark.django_db
def test_an_automatic_title_never_replaces_a_given_one(client, conversation):
    Message.objects.create(conversation=conversation, role="user", text="What is a rainbow?")
    early = Conversation.objects.get(pk=conversation.pk)  # read before the person gave a title
    assert change(client, conversation, "rename", title="Mine")["title"] == "Mine"
    assert titles.name_untitled(early) == "Mine"
    conversation.refresh_from_db()
    assert conversation.title == "Mine"


@pytest.mark.django_db
def test_an_emptied_title_is_made_from_the_first_message(client, conversation):
    Message.objects.create(conversation=conversation, role="user", text="What is a rainbow?")
    Message.objects.create(conversation=conversation, role="user", text="Something else")
    assert change(client, conversation, "rename", title="  ")["title"] == "What is a rainbow?"


@pytest.mark.django_db
def test_a_reply_that_is_queued_or_written_is_shown_in_the_list_until_it_has_ended(alice, client):
    made = {title: Conversation.objects.create(owner=alice, title=title) for title in ("written", "quiet")}
    message = Message.objects.create(conversation=made["written"], role="assistant")
    reply = Reply.objects.create(message=message)

    def marked(address="/conversations/"):
        items = client.get(address).content.decode().split("data-item=")[1:]
        return [title for title in made for item in items if str(made[title].pk) in item and "data-written" in item]

    assert marked() == marked("/conversations/?q=written") == ["written"]
    Reply.objects.filter(pk=reply.pk).update(state="streaming")
    assert marked("/") == ["written"]
    Reply.objects.filter(pk=reply.pk).update(state="complete")
    assert marked() == []
