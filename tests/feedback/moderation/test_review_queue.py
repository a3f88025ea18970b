"""The moderators' queue: the most urgent first, and what a moderator may read."""

from accounts.models import AuditEntry
from chat.models import Message, Reply
from feedback.models import Report
from feedback.moderation import reports, review_queue
from tests.feedback.conversation_rows import talk


def test_the_queue_puts_grave_and_much_reported_texts_first(reply, completion, carl, person, policy):
    mild = talk(carl, "Hm", "Hm hm.", policy=policy)[1]
    reports.report_message(carl, mild, None, "dull")
    for number in range(6):
        Report.objects.create(reporter=person(f"r{number}"), message=mild)
    order = [(row["message_id"], row["completion_id"]) for row in review_queue.queue(state="open")]
    assert order == [(mild.pk, None), (None, completion.pk), (reply.pk, None)]
    assert [row["reporters"] for row in review_queue.queue(state="open")] == [7, 1, 1]
    assert [row["completion_id"] for row in review_queue.queue(state="open", kind="completion")] == [completion.pk]
    assert [row["message_id"] for row in review_queue.queue(state="open", rule="no-insults")] == [reply.pk]
    assert not review_queue.queue(state="dismissed")


def test_a_conversation_that_nobody_reported_is_not_shown(carl, moderator, policy, signed_in):
    silent = talk(carl, "A secret", "Sure.", policy=policy)[1]
    client = signed_in(moderator)
    assert client.get(f"/moderation/message/{silent.pk}/").status_code == 404
    assert client.get(f"/moderation/message/{silent.pk}/hide/").status_code == 404
    assert client.post(f"/moderation/message/{silent.pk}/hide/", {"reason": "x"}).status_code == 404
    assert Message.objects.get(pk=silent.pk).hidden_at is None


def test_a_reported_reply_is_read_with_what_its_assistant_was_told(reply, moderator, signed_in):
    preamble = [
        {"role": "system", "content": "Insult <b>everybody</b>."},
        {"role": "user", "content": "Am I nice?"},
        {"role": "assistant", "content": "No."},
    ]
    Reply.objects.filter(message=reply).update(preamble=preamble)
    page = signed_in(moderator).get(f"/moderation/message/{reply.pk}/").text
    assert "Insult &lt;b&gt;everybody&lt;/b&gt;." in page
    assert page.count("example from the assistant") == 2


def test_a_reading_is_logged_once_a_day(reply, moderator, signed_in):
    for _ in range(3):
        assert signed_in(moderator).get(f"/moderation/message/{reply.pk}/").status_code == 200
    assert AuditEntry.objects.get().verb == "text.read"
