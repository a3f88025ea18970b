"""Reports and flags by people: one per text and rule, taken back by their maker, and limited."""

import pytest

from feedback import trainable
from feedback.models import Report, Rule, Violation
from feedback.moderation import actions, reports
from feedback.moderation.reports import TooManyReports
from tests.feedback.conversation_rows import talk

JSON = {"Accept": "application/json"}


@pytest.fixture
def client(signed_in, carl):
    return signed_in(carl)


@pytest.fixture
def fresh_reply(carl, policy):
    """A reply that nobody reported."""
    return talk(carl, "Hello", "Good morning", policy=policy)[1]


def test_a_report_again_is_the_same_report_and_too_many_are_refused(reply, carl, policy):
    version = Rule.objects.get(key="no-insults").versions.first()
    assert reports.report_message(carl, reply, version, "very rude").comment == "very rude"
    assert Report.objects.count() == 1
    assert reports.report_message(carl, reply, None, "").pk != Report.objects.first().pk
    for number in range(reports.REPORTS_PER_HOUR - 2):
        reports.report_message(carl, talk(carl, "x", str(number), policy=policy)[1], None, "")
    with pytest.raises(TooManyReports):
        reports.report_message(carl, talk(carl, "x", "one more", policy=policy)[1], None, "")


def test_a_named_rule_is_a_flag_and_a_report_until_it_is_taken_back(client, fresh_reply, carl, seeds):
    client.post(f"/messages/{fresh_reply.pk}/report/", {"rule": "no-insults"}, headers=JSON)
    flag = Violation.objects.get()
    assert (flag.message, flag.annotator, flag.is_violation) == (fresh_reply, carl, True)
    part = client.get(f"/messages/{fresh_reply.pk}/report/?part").content.decode()
    assert flag.rule_version.name in part
    assert "<html" not in part
    answer = client.post(f"/messages/{fresh_reply.pk}/flags/{flag.rule_version_id}/take-back/", headers=JSON)
    assert answer.json() == {"ok": True}
    assert not Violation.objects.exists()
    assert Report.objects.get().state == Report.State.WITHDRAWN


def test_the_same_flag_twice_is_one(client, fresh_reply, seeds):
    for _ in range(2):
        client.post(f"/messages/{fresh_reply.pk}/report/", {"rule": "no-insults"}, headers=JSON)
    assert (Violation.objects.count(), Report.objects.count()) == (1, 1)


def test_a_report_without_a_rule_flags_nothing(client, fresh_reply, seeds):
    client.post(f"/messages/{fresh_reply.pk}/report/", {"comment": "odd"}, headers=JSON)
    assert (Violation.objects.count(), Report.objects.count()) == (0, 1)


def test_nobody_takes_back_a_stranger_s_flag(signed_in, person, client, fresh_reply, seeds):
    client.post(f"/messages/{fresh_reply.pk}/report/", {"rule": "no-insults"}, headers=JSON)
    version = Violation.objects.get().rule_version_id
    eve = signed_in(person("eve"))
    assert eve.post(f"/messages/{fresh_reply.pk}/flags/{version}/take-back/", headers=JSON).status_code == 404
    assert Violation.objects.exists()


def test_a_flag_that_a_moderator_found_unfounded_does_not_train(client, fresh_reply, moderator, seeds):
    client.post(f"/messages/{fresh_reply.pk}/report/", {"rule": "no-insults"}, headers=JSON)
    assert trainable.violations().count() == 1
    entry = actions.dismiss(fresh_reply, moderator, "No insult in it.")
    assert trainable.violations().count() == 0
    actions.undo(entry, moderator, "It was one.")
    assert trainable.violations().count() == 1
