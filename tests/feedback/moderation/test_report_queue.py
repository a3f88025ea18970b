"""The moderators' queue: the most urgent first, what is searched, and what a moderator may read."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import AuditEntry
from chat.models import Message, Reply
from feedback.models import Report, Rule
from feedback.moderation import report_queue, reports
from feedback.moderation.items import ItemKey
from feedback.moderation.report_queue import Search
from tests.feedback.conversation_rows import talk


def keys(**search):
    return [str(entry.key) for entry in report_queue.entries(Search(**search))]


def test_the_queue_puts_grave_and_much_reported_texts_first(reply, completion, carl, person, policy):
    mild = talk(carl, "Hm", "Hm hm.", policy=policy)[1]
    reports.report_message(carl, mild, None, "dull")
    for number in range(6):
        Report.objects.create(reporter=person(f"r{number}"), message=mild)
    order = [f"message:{mild.pk}", f"completion:{completion.pk}", f"message:{reply.pk}"]
    assert keys() == order
    found = report_queue.entries(Search())
    assert [entry.reporters for entry in found] == [7, 1, 1]
    assert [round(entry.priority.total) for entry in found] == [8, 6, 3]
    assert keys(kind="completion") == order[1:2]
    assert keys(rule="no-insults") == order[2:]
    assert keys(state="dismissed") == []
    assert report_queue.count_open() == 3


def test_who_was_right_before_counts_for_more_than_who_was_not(carl, person, policy, seeds):
    right, wrong = person("right"), person("wrong")
    for reporter, state in ((right, "decided"), (wrong, "dismissed")):
        for number in range(5):
            old = talk(carl, "Hm", f"{state} {number}", policy=policy)[1]
            Report.objects.create(reporter=reporter, message=old, state=state, closed_at=timezone.now())
    of_wrong, of_right = (talk(carl, "Hm", name, policy=policy)[1] for name in ("first", "second"))
    Report.objects.create(reporter=wrong, message=of_wrong)
    Report.objects.create(reporter=right, message=of_right)
    assert keys() == [f"message:{of_right.pk}", f"message:{of_wrong.pk}"]
    assert len(keys(state="decided")) == 5


def test_of_equals_the_older_one_comes_first_however_long_the_counting_takes(carl, policy, monkeypatch):
    made = [Report.objects.create(reporter=carl, message=talk(carl, "Hm", "Hm.", policy=policy)[1]) for _ in range(3)]
    moments = (timezone.now() + timedelta(minutes=number) for number in range(100))
    monkeypatch.setattr(report_queue, "timezone", SimpleNamespace(now=lambda: next(moments)))
    assert keys() == [f"message:{report.message_id}" for report in made]


def test_it_is_searched_by_person_and_date(reply, completion, carl, annotator):
    by_carl, by_ann = f"message:{reply.pk}", f"completion:{completion.pk}"
    Report.objects.filter(completion=completion).update(created_at=timezone.now() - timedelta(days=40))
    assert keys(person="CARL") == [by_carl]
    assert keys(person="ann") == [by_ann]
    assert keys(person="nobody") == []
    week = timezone.now() - timedelta(days=7)
    assert keys(since=week) == [by_carl]
    assert keys(before=week) == [by_ann]


def test_a_conversation_is_found_by_its_owner_though_another_one_reported_it(reply, person):
    Report.objects.update(reporter=person("eve"))
    assert keys(person="carl") == [f"message:{reply.pk}"]


@pytest.mark.parametrize("state", ["open", "decided"])
def test_the_page_takes_as_many_queries_for_many_items_as_for_few(state, carl, person, moderator, policy, signed_in):
    client = signed_in(moderator)
    version = Rule.objects.create(key="r", group="quality").versions.create(number=1, name_en="R", text_en="R.")

    def grow(to):
        while Report.objects.count() < to:
            message = talk(carl, "Hm", "Hm hm.", policy=policy)[1]
            who = person(f"r{message.pk}")
            Report.objects.create(reporter=who, message=message, rule_version=version, state=state)
        with CaptureQueriesContext(connection) as queries:
            assert client.get(f"/moderation/?state={state}").status_code == 200
        return len(queries)

    grow(2)
    assert grow(2) == grow(24)


def test_what_stands_in_an_address_or_a_form_is_read_as_a_key_or_refused():
    from feedback.moderation import items

    assert items.read("message:12") == ItemKey("message", 12)
    for wrong in ("", "message", "message:", "message:x", "user:1", "message:-1", "message:١", "message:" + "9" * 30):
        assert items.read(wrong) is None


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
