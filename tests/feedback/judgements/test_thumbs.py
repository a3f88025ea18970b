"""Thumbs and flags in the chat: kept with their reasons, seen after a reload, undone, and nobody else's."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from chat.models import Reply
from feedback import trainable
from feedback.models import Report, Thumb, Violation
from feedback.moderation import actions
from tests.feedback.conftest import talk

JSON = {"Accept": "application/json"}


@pytest.fixture
def carl(person):
    return person("carl")


@pytest.fixture
def reply(carl, policy):
    return talk(carl, "Hello", "Good morning", policy=policy)[1]


@pytest.fixture
def client(signed_in, carl):
    return signed_in(carl)


def thumb(client, reply, **fields):
    return client.post(f"/messages/{reply.pk}/thumb/", fields)


def test_a_thumb_keeps_reasons_and_comment_and_is_there_after_a_reload(client, reply, carl):
    answer = thumb(client, reply, thumb="down", reason=["too_long", "wrong"], comment=" Says nothing. ")
    assert answer.json() == {"thumb": "down", "reasons": ["wrong", "too_long"], "comment": "Says nothing."}
    page = client.get(f"/c/{reply.conversation_id}/").content.decode()
    assert 'data-reasons="wrong too_long" data-comment="Says nothing."' in page
    assert 'data-thumb="down" aria-pressed="true"' in page
    assert 'data-thumb="up" aria-pressed="false"' in page


def test_another_thumb_replaces_the_first_and_none_takes_it_back(client, reply):
    thumb(client, reply, thumb="down", reason=["wrong"])
    assert thumb(client, reply, thumb="up").json() == {"thumb": "up", "reasons": [], "comment": ""}
    assert Thumb.objects.get().is_up
    assert thumb(client, reply, thumb="none").json()["thumb"] == "none"
    assert not Thumb.objects.exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"thumb": "sideways"},
        {},
        {"thumb": "up", "reason": ["wrong"]},
        {"thumb": "down", "reason": ["no such"]},
        {"thumb": "up", "comment": "x" * 2001},
    ],
)
def test_what_is_no_thumb_is_refused_with_words(client, reply, fields):
    answer = thumb(client, reply, **fields)
    assert answer.status_code == 400
    assert answer.json()["message"]
    assert not Thumb.objects.exists()


def test_a_reply_that_is_being_written_gets_no_thumb(client, reply):
    Reply.objects.update(state=Reply.State.STREAMING)
    assert thumb(client, reply, thumb="up").json()["code"] == "still_written"


def test_nobody_judges_a_stranger_s_reply_or_a_person_s_message(signed_in, person, client, reply):
    assert thumb(signed_in(person("eve")), reply, thumb="up").status_code == 404
    assert thumb(client, reply.parent, thumb="up").status_code == 404
    reply.hidden_at = reply.created_at
    reply.save()
    assert thumb(client, reply, thumb="up").status_code == 404


def test_a_named_rule_is_a_flag_and_a_report_until_it_is_taken_back(client, reply, carl, seeds):
    client.post(f"/messages/{reply.pk}/report/", {"rule": "no-insults"}, headers=JSON)
    flag = Violation.objects.get()
    assert (flag.message, flag.annotator, flag.is_violation) == (reply, carl, True)
    part = client.get(f"/messages/{reply.pk}/report/?part").content.decode()
    assert flag.rule_version.name in part
    assert "<html" not in part
    answer = client.post(f"/messages/{reply.pk}/flags/{flag.rule_version_id}/take-back/", headers=JSON)
    assert answer.json() == {"ok": True}
    assert not Violation.objects.exists()
    assert Report.objects.get().state == Report.State.DISMISSED


def test_the_same_flag_twice_is_one(client, reply, seeds):
    for _ in range(2):
        client.post(f"/messages/{reply.pk}/report/", {"rule": "no-insults"}, headers=JSON)
    assert (Violation.objects.count(), Report.objects.count()) == (1, 1)


def test_a_report_without_a_rule_flags_nothing(client, reply, seeds):
    client.post(f"/messages/{reply.pk}/report/", {"comment": "odd"}, headers=JSON)
    assert (Violation.objects.count(), Report.objects.count()) == (0, 1)


def test_nobody_takes_back_a_stranger_s_flag(signed_in, person, client, reply, seeds):
    client.post(f"/messages/{reply.pk}/report/", {"rule": "no-insults"}, headers=JSON)
    version = Violation.objects.get().rule_version_id
    eve = signed_in(person("eve"))
    assert eve.post(f"/messages/{reply.pk}/flags/{version}/take-back/", headers=JSON).status_code == 404
    assert Violation.objects.exists()


def test_a_flag_that_a_moderator_found_unfounded_does_not_train(client, reply, moderator, seeds):
    client.post(f"/messages/{reply.pk}/report/", {"rule": "no-insults"}, headers=JSON)
    assert trainable.violations().count() == 1
    entry = actions.dismiss(reply, moderator, "No insult in it.")
    assert trainable.violations().count() == 0
    actions.undo(entry, moderator, "It was one.")
    assert trainable.violations().count() == 1


def test_a_page_asks_the_database_once_for_the_thumbs_of_all_replies(client, carl, policy):
    conversation = talk(carl, *["Hello", "Good morning"] * 6, policy=policy)[0].conversation_id
    with CaptureQueriesContext(connection) as queries:
        client.get(f"/c/{conversation}/")
    assert sum("feedback_thumb" in query["sql"] for query in queries) == 1
