"""Temporary conversations: in no list, never judged or trained on, and gone soon after their page is closed."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from accounts.models import User
from base import fsck
from chat import site_choices
from chat.conversations import temporary
from chat.conversations.turns import take_turn
from chat.models import Chunk, Conversation, Message, Pair, Reply, TokenView
from chat.queue import replies
from chat.tasks import remove_temporary_conversations
from feedback import prompts
from feedback.errors import NothingIsKept
from feedback.judgements import thumbs
from feedback.models import Prompt, Report
from feedback.moderation import reports
from metering.models import Usage

JSON = {"accept": "application/json"}
pytestmark = pytest.mark.django_db


@pytest.fixture
def client(alice):
    client = Client(headers={"accept-language": "en"})
    client.force_login(alice)
    return client


@pytest.fixture
def secret(client):
    made = client.post(
        "/conversations/new/", {"text": "My secret", "temporary": "on", "may_train": "on"}, headers=JSON
    )
    return Conversation.objects.get(pk=made.json()["id"])


def answered(conversation, policy, text="My secret"):
    """A turn with its written reply."""
    _, reply = take_turn(conversation, text, f"k-{text}", None)
    assert replies.start("me", policy, reply.pk)
    replies.write("me", [replies.NewChunk(reply.pk, 1, "Told you.")])
    replies.end("me", replies.Ending(reply.pk, Reply.State.COMPLETE, finish_reason="stop", completion_tokens=3))
    reply.refresh_from_db()
    return reply


def end(conversation):
    Conversation.objects.filter(pk=conversation.pk).update(expires_at=timezone.now() - timedelta(seconds=1))


def problems():
    return [problem.text for problem in fsck.problems() if problem.promise == 12]


def test_it_has_no_title_no_consent_and_no_place_in_lists_and_searches(client, secret, scripted_policy, alice):
    answered(secret, scripted_policy)
    secret.refresh_from_db()
    assert (secret.title, secret.may_train) == ("", False)
    assert str(secret.pk) not in client.get("/conversations/").content.decode()
    assert str(secret.pk) not in client.get("/conversations/?q=secret").content.decode()
    shown = client.get(f"/c/{secret.pk}/").content.decode()
    assert 'id="temporary"' in shown
    assert 'id="consent" hidden' in shown
    assert problems() == []


@pytest.mark.parametrize("verb", ["rename", "pin", "archive", "share", "consent"])
def test_nothing_that_keeps_or_shows_it_is_offered(client, secret, verb):
    assert client.post(f"/c/{secret.pk}/{verb}/", {"may_train": "on", "is_on": "on"}).status_code == 404
    secret.refresh_from_db()
    assert secret.may_train is False


def test_the_database_refuses_to_train_on_one(secret):
    with pytest.raises(IntegrityError), transaction.atomic():
        Conversation.objects.filter(pk=secret.pk).update(may_train=True)


def test_it_is_not_judged(secret, scripted_policy, alice):
    admin = User.objects.create_superuser("admin", password="not the demo one")
    site_choices.change(admin, side_by_side_percent=100)
    reply = answered(secret, scripted_policy)
    assert not Pair.objects.exists()
    with pytest.raises(NothingIsKept):
        thumbs.give(reply.message, alice, True)
    assert prompts.take_from_conversations(10, scripted_policy) == 0
    assert not Prompt.objects.exists()


def test_once_it_has_ended_nothing_is_left_but_the_bill(secret, scripted_policy, alice):
    reply = answered(secret, scripted_policy)
    TokenView.objects.create(reply=reply)
    kept = answered(Conversation.objects.create(owner=alice), scripted_policy, "Keep this")
    end(secret)
    assert remove_temporary_conversations() == 1
    assert list(Conversation.objects.all()) == [kept.message.conversation]
    assert not Message.objects.filter(text__contains="secret").exists()
    assert set(Chunk.objects.values_list("reply", flat=True)) == {kept.pk}
    assert not TokenView.objects.exists()
    assert Usage.objects.filter(ref=f"reply:{reply.pk}").exists()


def test_an_open_page_keeps_it_for_a_day_at_most(client, secret):
    def minutes_left():
        secret.refresh_from_db()
        return (secret.expires_at - timezone.now()).total_seconds() / 60

    Conversation.objects.filter(pk=secret.pk).update(expires_at=timezone.now() + timedelta(minutes=2))
    client.get(f"/c/{secret.pk}/")
    assert 14 < minutes_left() <= 15
    begun = timezone.now() - temporary.LONGEST + timedelta(minutes=5)
    last = begun + temporary.LONGEST
    Conversation.objects.filter(pk=secret.pk).update(created_at=begun, expires_at=timezone.now())
    client.get(f"/c/{secret.pk}/")
    secret.refresh_from_db()
    assert secret.expires_at == last


def test_a_reply_under_way_puts_the_removal_off_and_the_check_knows(secret, scripted_policy):
    _, reply = take_turn(secret, "My secret", "k1", None)
    Conversation.objects.filter(pk=secret.pk).update(expires_at=timezone.now() - timedelta(hours=1))
    assert remove_temporary_conversations() == 0
    assert problems() == []
    replies.stop(reply.pk)
    assert len(problems()) == 1
    assert remove_temporary_conversations() == 1
    assert problems() == []


def test_deleting_one_needs_no_weeks_and_leaves_nothing_to_restore(client, secret):
    assert client.post(f"/c/{secret.pk}/delete/", headers=JSON).status_code == 200
    assert client.post(f"/c/{secret.pk}/restore/").status_code == 404
    assert str(secret.pk) not in client.get("/conversations/deleted/").content.decode()
    assert remove_temporary_conversations() == 1


def test_a_reported_one_is_kept_for_moderators_and_not_for_ever(client, secret, scripted_policy, alice):
    reply = answered(secret, scripted_policy)
    reports.report_message(alice, reply.message, None, "look")
    client.post(f"/c/{secret.pk}/delete/", headers=JSON)
    assert remove_temporary_conversations() == 0
    assert Report.objects.filter(message=reply.message).exists()
    end(secret)
    assert remove_temporary_conversations() == 1
    assert not Report.objects.exists()


def test_an_ordinary_conversation_is_never_ended(alice, client):
    kept = Conversation.objects.create(owner=alice)
    temporary.keep_open(kept)
    temporary.keep_for_moderators(kept)
    temporary.end_now(kept)
    kept.refresh_from_db()
    assert kept.expires_at is None
    assert remove_temporary_conversations() == 0
