"""The moderators' pages: hide, undo and suspend; the next item after a decision; several at once; notes."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import AuditEntry
from feedback.models import ModeratorNote, Report
from tests.feedback.conversation_rows import talk


@pytest.fixture
def second(carl, policy, reply):
    """Another reported reply, behind the first one in the queue."""
    message = talk(carl, "Hm", "Something dull.", policy=policy)[1]
    Report.objects.create(reporter=carl, message=message)
    return message


@pytest.fixture
def client(moderator, signed_in):
    return signed_in(moderator, **{"accept-language": "en"})


def test_the_pages_hide_and_undo(reply, client):
    assert "Something rude." in client.get("/moderation/").content.decode()
    asked = client.get(f"/moderation/message/{reply.pk}/hide/").content.decode()
    assert "What will happen" in asked
    assert "sees a notice instead of it" in asked
    refused = client.post(f"/moderation/message/{reply.pk}/hide/", {"reason": " "})
    assert refused.status_code == 400
    assert not AuditEntry.objects.filter(verb="text.hide").exists()
    assert client.post(f"/moderation/message/{reply.pk}/hide/", {"reason": "rude"}).status_code == 302
    reply.refresh_from_db()
    assert reply.hidden_at
    entry = AuditEntry.objects.get(verb="text.hide")
    page = client.get(f"/moderation/message/{reply.pk}/").content.decode()
    assert f"/moderation/undo/{entry.pk}/" in page
    response = client.post(f"/moderation/undo/{entry.pk}/?kind=message&pk={reply.pk}", {"reason": "mistake"})
    assert response.headers["Location"] == f"/moderation/message/{reply.pk}/"
    reply.refresh_from_db()
    assert reply.hidden_at is None
    again = client.post(f"/moderation/undo/{entry.pk}/?kind=message&pk=//evil.example", {"reason": "twice"})
    assert again.status_code == 409
    assert 'href="/moderation/">Cancel' in again.content.decode()


def test_the_page_suspends_until_a_day_and_names_the_account(reply, carl, person, client):
    Report.objects.update(reporter=person("eve"))
    day = timezone.localdate() + timedelta(days=3)
    address = f"/moderation/message/{reply.pk}/suspend/"
    assert '<p class="acted-on">carl</p>' in client.get(address).text
    late = client.post(address, {"reason": "rude", "until": "2020-01-01"})
    assert late.status_code == 400
    assert client.post(address, {"reason": "rude", "until": day.isoformat()}).status_code == 302
    carl.refresh_from_db()
    assert timezone.localdate(carl.suspended_until) == day
    assert "suspended until" in client.get(f"/moderation/message/{reply.pk}/").content.decode()


def test_who_reported_the_text_cannot_be_suspended_from_its_page(reply, carl, client):
    """The worst experience: the button aimed at the person who had reported."""
    page = client.get(f"/moderation/message/{reply.pk}/").text
    assert f"/moderation/message/{reply.pk}/suspend/" not in page
    until = (timezone.localdate() + timedelta(days=3)).isoformat()
    answer = client.post(f"/moderation/message/{reply.pk}/suspend/", {"reason": "rude", "until": until})
    assert answer.status_code == 409
    assert "carl reported this text" in answer.text
    carl.refresh_from_db()
    assert not carl.is_suspended


def test_after_a_decision_the_next_item_comes_with_what_was_decided_and_undo(reply, second, client):
    answer = client.post(f"/moderation/message/{reply.pk}/dismiss/", {"quick": "1", "reason": ""})
    entry = AuditEntry.objects.get(verb="reports.dismiss")
    assert answer["Location"] == f"/moderation/message/{second.pk}/?done={entry.pk}"
    assert entry.reason == "It breaks no rule."
    page = client.get(answer["Location"]).text
    assert "Done: Dismiss the reports." in page
    assert f'action="/moderation/undo/{entry.pk}/"' in page
    last = client.post(f"/moderation/message/{second.pk}/dismiss/", {"quick": "1", "reason": "dull is no crime"})
    assert last["Location"].startswith("/moderation/?done=")
    assert AuditEntry.objects.filter(reason="dull is no crime").exists()
    assert "Done: Dismiss the reports." in client.get(last["Location"]).text


def test_a_severe_verb_has_no_usual_reason(reply, client):
    assert client.post(f"/moderation/message/{reply.pk}/hide/", {"quick": "1"}).status_code == 400
    reply.refresh_from_db()
    assert reply.hidden_at is None


def test_what_another_moderator_did_is_not_offered_for_undo(reply, client, signed_in, person):
    from accounts.roles import Role

    client.post(f"/moderation/message/{reply.pk}/dismiss/", {"quick": "1"})
    entry = AuditEntry.objects.get(verb="reports.dismiss")
    other = signed_in(person("other", Role.MODERATOR))
    for given in (entry.pk, "x", "9" * 30, "-1", ""):
        assert "Undone right after" not in other.get(f"/moderation/?done={given}").text


def test_the_filter_stays_from_item_to_item(reply, second, client):
    page = client.get("/moderation/?person=carl&kind=message").text
    assert f"/moderation/message/{reply.pk}/?kind=message&amp;person=carl" in page
    answer = client.post(f"/moderation/message/{reply.pk}/dismiss/?kind=message&person=carl", {"quick": "1"})
    assert f"/moderation/message/{second.pk}/?kind=message&person=carl&done=" in answer["Location"]
    assert client.get("/moderation/?since=nonsense").status_code == 200


def test_ticked_items_are_decided_with_one_reason_and_what_failed_is_told(reply, second, completion, client):
    from feedback.moderation import actions

    keys = [f"message:{reply.pk}", f"message:{second.pk}", f"completion:{completion.pk}", "message:99999"]
    actions.dismiss(second, AuditEntry.objects.model.actor.field.related_model.objects.get(username="mod"), "before")
    answer = client.post("/moderation/many/", {"item": keys, "verb": "dismiss", "reason": "a quiet day"})
    assert "2 items done." in answer.text
    assert "2 items were left as they are" in answer.text
    assert "This has already been done" in answer.text
    assert "no longer exists" in answer.text
    done = AuditEntry.objects.filter(verb="reports.dismiss", reason="a quiet day")
    assert sorted(done.values_list("target", flat=True)) == sorted(
        [f"chat.message:{reply.pk}", f"feedback.completion:{completion.pk}"]
    )
    assert not Report.objects.filter(state="open").exists()


def test_hiding_several_asks_first(reply, second, client):
    sent = {"item": [f"message:{reply.pk}", f"message:{second.pk}"], "verb": "hide", "reason": "a raid"}
    asked = client.post("/moderation/many/", sent)
    assert "2 items" in asked.text
    assert not AuditEntry.objects.filter(verb="text.hide").exists()
    client.post("/moderation/many/", {**sent, "confirmed": "1"})
    assert AuditEntry.objects.filter(verb="text.hide", reason="a raid").count() == 2


@pytest.mark.parametrize(
    "sent", [{}, {"item": "message:1"}, {"item": "message:1", "verb": "suspend", "reason": "x"}, {"verb": "hide"}]
)
def test_bulk_without_items_a_verb_or_a_reason_does_nothing(reply, client, sent):
    assert client.post("/moderation/many/", sent).status_code == 302
    assert not AuditEntry.objects.exists()


def test_a_note_is_for_moderators_alone_and_leaves_its_trace(reply, carl, client, signed_in):
    client.post(f"/moderation/message/{reply.pk}/note/", {"text": "Ask the others. <b>"})
    assert "Ask the others. &lt;b&gt;" in client.get(f"/moderation/message/{reply.pk}/").text
    entry = AuditEntry.objects.get(verb="note.add")
    assert (entry.target, entry.after) == (f"chat.message:{reply.pk}", {"note": ModeratorNote.objects.get().pk})
    client.post(f"/moderation/message/{reply.pk}/note/", {"text": "  "})
    assert ModeratorNote.objects.count() == 1
    by_carl = signed_in(carl)
    assert by_carl.post(f"/moderation/message/{reply.pk}/note/", {"text": "mine"}).status_code == 403
    assert "Ask the others" not in by_carl.get(f"/c/{reply.conversation_id}/").text


def test_the_page_says_why_the_item_is_here(reply, completion, client):
    page = client.get(f"/moderation/message/{reply.pk}/").text
    assert "It is said to break “No insults”: severity 2 of 5." in page
    assert "Reported by carl, of whose reports none is decided yet." in page
    assert "Priority 3.0 = 2 (severity) + 1.0 (reporters) + 0.0 (age)." in page
    Report.objects.filter(message=reply).update(state="dismissed")
    Report.objects.create(reporter_id=Report.objects.get(message=reply).reporter_id, message=reply)
    page = client.get(f"/moderation/message/{reply.pk}/").text
    assert "Reported by carl: 0 of 1 earlier report was upheld." in page
