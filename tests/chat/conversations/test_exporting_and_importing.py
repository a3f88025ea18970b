"""Saving and reading in: the tree comes back equal, and a file that is not one is refused by place."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import User
from chat.conversations import exporting, importing
from chat.conversations.importing import ImportRefused
from chat.models import Chunk, Conversation, Message, Pair, Policy, Reply
from feedback import trainable

pytestmark = pytest.mark.django_db
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
ENDED = [state for state in Reply.State if state not in Reply.LIVE]


@pytest.fixture
def client(alice):
    client = Client(headers={"accept-language": "en"})
    client.force_login(alice)
    return client


@st.composite
def trees(draw):
    """[(index of the parent or None, role, text, moment, is hidden, reply's fields)], parents first."""
    lines = []
    for _ in range(draw(st.integers(0, 12))):
        above = draw(st.sampled_from([None, *range(len(lines))]))
        role = "user" if above is None or lines[above][1] == "assistant" else "assistant"
        reply = draw(
            st.none()
            | st.fixed_dictionaries(
                {
                    "state": st.sampled_from(ENDED),
                    "finish_reason": st.sampled_from(["", "stop", "length"]),
                    "trimmed": st.integers(0, 50),
                    "prefix": TEXTS,
                    "completion_tokens": st.integers(0, 10_000),
                    "parameters": st.dictionaries(st.sampled_from(["temperature", "stop"]), st.floats(0, 2) | TEXTS),
                }
            )
        )
        lines.append((above, role, draw(TEXTS), draw(MOMENTS), draw(st.booleans()), reply))
    return lines


def plant(owner, title, lines, tip):
    policy, _ = Policy.objects.get_or_create(name="policy-1", version=1)
    made = Conversation.objects.create(owner=owner, title=title)
    rows = []
    for above, role, text, moment, is_hidden, reply in lines:
        rows.append(
            Message.objects.create(
                conversation=made,
                parent=rows[above] if above is not None else None,
                role=role,
                text=text,
                created_at=moment,
                hidden_at=moment if is_hidden else None,
            )
        )
        if role == "assistant" and reply is not None:
            Reply.objects.create(message=rows[-1], policy=policy, **reply)
    made.tip = rows[tip] if rows and tip is not None else None
    made.save()
    return made


def through_a_file(document):
    return importing.read(json.dumps(document, ensure_ascii=False).encode())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=trees(), title=TEXTS, where=st.data())
def test_what_is_saved_and_read_in_is_saved_again_as_the_same_file(alice, lines, title, where):
    tip = where.draw(st.sampled_from([None, *range(len(lines))]))
    original = plant(alice, " ".join("".join(c for c in title if c.isprintable()).split()), lines, tip)
    saved = exporting.as_json(original)
    copy = importing.create(alice, through_a_file(saved))
    assert copy.pk != original.pk
    assert exporting.as_json(copy) == saved
    assert saved["messages"] == exporting.as_json(importing.create(alice, through_a_file(saved)))["messages"]


def test_the_file_says_what_a_reader_needs(conversation):
    policy = Policy.objects.create(name="policy-7", version=7)
    asked = Message.objects.create(conversation=conversation, role="user", text="무지개?")
    said = Message.objects.create(conversation=conversation, role="assistant", text="A bow.", parent=asked)
    Reply.objects.create(message=said, policy=policy, state="complete", finish_reason="stop", completion_tokens=3)
    saved = exporting.as_json(conversation)
    assert (saved["format"], saved["version"], saved["tip"]) == ("chamsae.conversation", 1, None)
    question, answer = saved["messages"]
    assert (question["id"], question["parent"], question["role"], question["text"]) == (1, None, "user", "무지개?")
    assert (answer["id"], answer["parent"], answer["role"], answer["text"]) == (2, 1, "assistant", "A bow.")
    assert (answer["reply"]["policy"], answer["reply"]["state"]) == ("policy-7", "complete")
    assert "hidden" not in question


def test_markdown_is_the_open_path_with_who_wrote_what(client, conversation):
    policy = Policy.objects.create(name="policy-7", version=7)
    asked = Message.objects.create(conversation=conversation, role="user", text="A question")
    for text in ("one", "two"):
        said = Message.objects.create(conversation=conversation, role="assistant", text=text, parent=asked)
        Reply.objects.create(message=said, policy=policy, state="complete")
    Conversation.objects.filter(pk=conversation.pk).update(title="무지개 / rainbow", tip=asked.children.first())
    saved = client.get(f"/c/{conversation.pk}/export/md/")
    assert saved.content.decode() == "# 무지개 / rainbow\n\n## You\n\nA question\n\n## policy-7\n\none\n"
    assert saved["Content-Type"].startswith("text/markdown")
    assert "attachment" in saved["Content-Disposition"]
    assert "%EB%AC%B4%EC%A7%80%EA%B0%9C" in saved["Content-Disposition"]
    assert "/" not in saved["Content-Disposition"].split("''")[1]


def test_hidden_texts_and_names_of_an_undecided_pair_are_in_no_file(client, conversation):
    policy = Policy.objects.create(name="policy-7", version=7)
    asked = Message.objects.create(conversation=conversation, role="user", text="dreadful", hidden_at=timezone.now())
    replies = []
    for text in ("left words", "right words"):
        said = Message.objects.create(conversation=conversation, role="assistant", text=text, parent=asked)
        replies.append(Reply.objects.create(message=said, policy=policy, state="complete"))
    pair = Pair.objects.create(message=asked, left=replies[0], right=replies[1])
    for kind in ("json", "md"):
        text = client.get(f"/c/{conversation.pk}/export/{kind}/").content.decode()
        assert "dreadful" not in text
        assert "policy-7" not in text
    Pair.objects.filter(pk=pair.pk).update(revealed_at=timezone.now())
    assert "policy-7" in client.get(f"/c/{conversation.pk}/export/json/").content.decode()


def test_a_reply_that_is_being_written_is_saved_as_far_as_it_got(conversation):
    asked = Message.objects.create(conversation=conversation, role="user", text="?")
    said = Message.objects.create(conversation=conversation, role="assistant", parent=asked)
    reply = Reply.objects.create(message=said, state="streaming")
    Chunk.objects.bulk_create(Chunk(reply=reply, seq=n, text=t) for n, t in ((1, "Once "), (2, "upon")))
    saved = exporting.as_json(conversation)
    assert saved["messages"][1]["text"] == "Once upon"
    copy = importing.create(conversation.owner, through_a_file(saved))
    assert exporting.as_json(copy) == saved
    assert not Reply.objects.filter(message__conversation=copy).exists(), "nobody goes on writing it"


def test_the_pages_of_what_was_read_in_promise_no_training(alice, conversation, client):
    Message.objects.create(conversation=conversation, role="user", text="?")
    copy = importing.create(alice, through_a_file(exporting.as_json(conversation)))
    for shown, is_promised in ((conversation, False), (copy, True)):
        for address in (f"/c/{shown.pk}/", f"/c/{shown.pk}/uses/"):
            page = client.get(address).content.decode()
            assert ("This conversation was imported from a file" in page) == is_promised, address
    assert 'name="may_train"  disabled' in client.get(f"/c/{copy.pk}/").content.decode()


def test_nothing_that_was_read_in_can_train(alice, conversation):
    Conversation.objects.filter(pk=conversation.pk).update(may_train=True)
    asked = Message.objects.create(conversation=conversation, role="user", text="?")
    said = Message.objects.create(conversation=conversation, role="assistant", text="forged", parent=asked)
    Reply.objects.create(message=said, policy=Policy.objects.create(name="policy-1", version=1), state="complete")
    copy = importing.create(alice, through_a_file(exporting.as_json(conversation)))
    assert not copy.may_train
    assert set(copy.messages.values_list("never_train", flat=True)) == {True}
    assert not Reply.objects.filter(message__conversation=copy).exists(), "no policy answers for a forged text"
    assert not trainable.prompts().filter(message__conversation=copy).exists()


# --- files that are refused ---------------------------------------------------------------------------------------


def file(*messages, **fields):
    document = {
        "format": "chamsae.conversation",
        "version": 1,
        "title": "T",
        "created_at": "2026-01-01T00:00:00+00:00",
        "tip": None,
        "messages": list(messages),
    }
    return json.dumps(document | fields).encode()


def line(number, parent=None, role="user", **fields):
    return {
        "id": number,
        "parent": parent,
        "role": role,
        "text": "x",
        "created_at": "2026-01-01T00:00:00+00:00",
    } | fields


def reply(**fields):
    return {"policy": None, "state": "complete", "parameters": {}} | fields


REFUSED = {
    "no UTF-8": (b"\xff\xfe{}", "", "UTF-8"),
    "no JSON": (b'{"format": "chamsae.conversation",\n oops}', "", "line 2, column 2"),
    "cut off": (file(line(1))[:-5], "", "not valid JSON"),
    "no object": (b"[]", "", "object"),
    "nested": (b"[" * 200_000, "", "deeply"),
    "NaN": (file().replace(b"null", b"NaN"), "", "NaN"),
    "infinite": (file().replace(b"null", b"1e999"), "", "too large"),
    "endless number": (file().replace(b"null", b"9" * 5000), "", "cannot be read"),
    "twice": (b'{"format": "x", "format": "y"}', "", "'format' appears twice"),
    "another format": (b'{"format": "chatgpt"}', "format", "not a conversation"),
    "another version": (file(version=2), "version", "version 1"),
    "no title": (file(title=None), "title", "text"),
    "long title": (file(title="x" * 121), "title", "120"),
    "messages": (file(messages={}), "messages", "list"),
    "too many": (file(*[line(n) for n in range(1, 10_002)]), "messages", "10000"),
    "a message": (file(line(1), "x"), "messages[1]", "object"),
    "role": (file(line(1, role="system")), "messages[0].role", "user"),
    "orphan": (file(line(1, role="assistant")), "messages[0].parent", "must follow a message"),
    "later parent": (file(line(1, 2), line(2)), "messages[0].parent", "no earlier message"),
    "own parent": (file(line(1, 1)), "messages[0].parent", "no earlier message"),
    "same role": (file(line(1), line(2, 1)), "messages[1].parent", "same role"),
    "same id": (file(line(1), line(1)), "messages[1].id", "no other"),
    "boolean id": (file(line(True)), "messages[0].id", "number"),
    "huge id": (file(line(2**31)), "messages[0].id", "number"),
    "zero": (file(line(1, text="a\0b")), "messages[0].text", "not text"),
    "surrogate": (file(line(1, text="\ud800")), "messages[0].text", "not text"),
    "long text": (file(line(1, text="x" * 200_001)), "messages[0].text", "200000"),
    "text": (file(line(1, text=["x"])), "messages[0].text", "text is required"),
    "time": (file(line(1, created_at="yesterday")), "messages[0].created_at", "time"),
    "no zone": (file(line(1, created_at="2026-01-01T00:00:00")), "messages[0].created_at", "time"),
    "far time": (file(line(1, created_at="9999-12-31T23:59:59-12:00")), "messages[0].created_at", "time"),
    "no such day": (file(line(1, created_at="2026-02-31T00:00:00+00:00")), "messages[0].created_at", "time"),
    "hidden": (file(line(1, hidden="yes")), "messages[0].hidden", "true"),
    "state": (file(line(1), line(2, 1, "assistant", reply=reply(state="x"))), "messages[1].reply.state", "state"),
    "state list": (file(line(1), line(2, 1, "assistant", reply=reply(state=[]))), "messages[1].reply.state", "state"),
    "reply": (file(line(1), line(2, 1, "assistant", reply=3)), "messages[1].reply", "object"),
    "tokens": (
        file(line(1), line(2, 1, "assistant", reply=reply(prompt_tokens=-1))),
        "messages[1].reply.prompt_tokens",
        "number",
    ),
    "parameters": (
        file(line(1), line(2, 1, "assistant", reply=reply(parameters={"a": "\0"}))),
        "messages[1].reply.parameters",
        "not text",
    ),
    "tip": (file(line(1), tip=7), "tip", "number"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_none_is_refused_by_place(name):
    data, place, words = REFUSED[name]
    with pytest.raises(ImportRefused) as refused:
        importing.read(data)
    first = refused.value.problems[0]
    assert first.place == place
    assert words in first.text


def test_no_more_problems_are_told_than_a_person_reads():
    with pytest.raises(ImportRefused) as refused:
        importing.read(file(*[line(n, role="x") for n in range(1, 100)]))
    assert len(refused.value.problems) == importing.MAX_PROBLEMS


@settings(max_examples=150, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*line(1), "reply", "x"]), inner),
        max_leaves=20,
    )
)
def test_whatever_stands_in_the_messages_only_the_refusal_is_raised(value):
    for document in (file(messages=value), file(value), file(line(1), line(2, 1, "assistant", reply=value))):
        with suppress(ImportRefused):
            importing.read(document)


# --- the page -----------------------------------------------------------------------------------------------------


def upload(client, data):
    return client.post("/conversations/import/", {"file": SimpleUploadedFile("c.json", data)})


def test_a_file_becomes_a_conversation_of_whoever_brings_it(client, alice):
    answer = upload(client, file(line(1, text="한국어"), line(2, 1, "assistant", reply=reply()), title="Came in"))
    made = Conversation.objects.get(owner=alice)
    assert answer["Location"] == f"/c/{made.pk}/"
    page = client.get(answer["Location"]).content.decode()
    assert "한국어" in page
    assert "imported" in page


def test_a_refused_file_changes_nothing_and_says_where(client):
    answer = upload(client, file(line(1, 5)))
    assert answer.status_code == 400
    assert "<code>messages[0].parent</code>" in answer.content.decode()
    assert not Conversation.objects.exists()


def test_too_large_a_file_and_none_at_all_are_told_apart(client, monkeypatch):
    monkeypatch.setattr(importing, "MAX_BYTES", 2**20)
    large = upload(client, b" " * (2**20 + 1))
    assert (large.status_code, "larger than 1 MB" in large.content.decode()) == (413, True)
    none = client.post("/conversations/import/")
    assert (none.status_code, "No file" in none.content.decode()) == (400, True)
    with pytest.raises(ImportRefused):
        importing.read(b" " * (2**20 + 1))


def test_a_stranger_saves_nothing(conversation):
    bob = Client()
    bob.force_login(User.objects.create_user("bob"))
    assert bob.get(f"/c/{conversation.pk}/export/json/").status_code == 404


def test_an_imported_time_survives_any_zone(alice):
    moment = "2026-01-01T09:00:00+09:00"
    made = importing.create(alice, importing.read(file(line(1, created_at=moment))))
    assert made.messages.get().created_at - datetime(2026, 1, 1, tzinfo=UTC) == timedelta(0)
