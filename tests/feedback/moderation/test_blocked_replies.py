"""Replies that a guard ended: moderators see the exchange, judge the guard, and see nothing that was forgotten."""

import pytest
from django.utils import timezone

from accounts.models import AuditEntry
from chat.models import Reply
from feedback.moderation import reviews
from tests.feedback.conversation_rows import talk


@pytest.fixture
def blocked(carl, policy, seeds):
    messages = talk(carl, "Earlier words", "Fine.", "Call me names", "You are a", policy=policy)
    Reply.objects.filter(message=messages[-1]).update(state="blocked", blocked_by="no-insults")
    return messages[-1]


@pytest.fixture
def client(moderator, signed_in):
    return signed_in(moderator, **{"accept-language": "en"})


def test_a_block_is_an_item_with_its_exchange_and_its_guard(blocked, client):
    listed = client.get("/moderation/blocked/").text
    assert "You are a" in listed
    assert "No insults" in listed
    page = client.get(f"/moderation/message/{blocked.pk}/").text
    assert "Call me names" in page
    assert "Earlier words" not in page, "nobody reported the conversation"
    assert "The guard “No insults” ended this reply." in page
    assert AuditEntry.objects.get().verb == "text.read"


@pytest.mark.parametrize(("verb", "right"), [("block_right", 1), ("block_wrong", 0)])
def test_the_guard_is_judged_and_the_next_block_comes(blocked, carl, policy, client, verb, right):
    other = talk(carl, "And me", "You", policy=policy)[1]
    Reply.objects.filter(message=other).update(state="blocked", blocked_by="no-insults")
    answer = client.post(f"/moderation/message/{blocked.pk}/{verb}/", {"quick": "1"})
    assert answer["Location"] == f"/moderation/message/{other.pk}/"
    assert [message.pk for message in reviews.blocked()] == [other.pk]
    assert [message.pk for message in reviews.blocked(reviewed=True)] == [blocked.pk]
    assert reviews.verdicts_of_guards() == {"no-insults": {"right": right, "wrong": 1 - right}}
    assert AuditEntry.objects.filter(verb="block.review").count() == 1
    assert client.post(f"/moderation/message/{blocked.pk}/{verb}/", {"quick": "1"}).status_code == 409


def test_the_verdict_can_be_changed(blocked, client):
    for verb in ("block_right", "block_wrong"):
        assert client.post(f"/moderation/message/{blocked.pk}/{verb}/", {"quick": "1"}).status_code == 302
    assert reviews.verdicts_of_guards() == {"no-insults": {"right": 0, "wrong": 1}}
    assert AuditEntry.objects.filter(verb="block.review").first().before == {"outcome": "right"}


@pytest.mark.parametrize("gone", [{"deleted_at": timezone.now()}, {"expires_at": timezone.now(), "may_train": False}])
def test_what_its_owner_deleted_or_keeps_temporary_is_nobody_s(blocked, client, gone):
    type(blocked.conversation).objects.filter(pk=blocked.conversation_id).update(**gone)
    assert "You are a" not in client.get("/moderation/blocked/").text
    assert client.get(f"/moderation/message/{blocked.pk}/").status_code == 404


def test_a_reply_that_no_guard_ended_has_no_such_verdict(reply, client):
    assert client.post(f"/moderation/message/{reply.pk}/block_right/", {"quick": "1"}).status_code == 409
    assert reviews.verdicts_of_guards() == {}
