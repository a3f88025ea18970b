"""Who reported or flagged a text is told of the decision: once, in words that blame nobody."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Notice
from feedback.models import Report, Rule
from feedback.moderation import actions, reports


def told():
    return {row.person.username: (row.text, row.link) for row in Notice.objects.select_related("person")}


@pytest.mark.parametrize(
    ("verb", "words"),
    [("hide", "hid a reply"), ("keep_out", "excluded a reply"), ("dismiss", "left it unchanged")],
)
def test_the_reporter_of_a_reply_is_told_what_became_of_it(reply, carl, moderator, verb, words):
    entry = actions.TEXT_VERBS[verb](reply, moderator, "because")
    ((text, link),) = told().values()
    assert words in text
    assert link == f"/c/{reply.conversation_id}/"
    assert Notice.objects.get().person == carl
    actions.undo(entry, moderator, "mistake")
    assert Notice.objects.count() == 1, "an undone decision is no decision"


def test_the_annotator_who_flagged_a_completion_is_told(completion, annotator, moderator):
    actions.hide(completion, moderator, "harmful")
    assert told()[annotator.username][1] == "/rank/mine/"


def test_several_reports_of_one_person_are_one_notice(reply, carl, moderator):
    reports.report_message(carl, reply, Rule.objects.get(key="no-threats").versions.first(), "a threat, too")
    actions.hide(reply, moderator, "rude")
    assert Report.objects.filter(state="decided").count() == 2
    assert Notice.objects.count() == 1


def test_a_suspension_is_nobody_else_s_business(completion, annotator, person, moderator):
    until = timezone.now() + timedelta(days=1)
    actions.suspend(person("troll"), moderator, "spam", until=until, about=completion)
    text, _link = told()[annotator.username]
    assert text == "A moderator took action on a reply that you reported or flagged."


def test_who_decides_on_their_own_report_is_told_nothing(reply, carl, moderator):
    Report.objects.update(reporter=moderator)
    actions.hide(reply, moderator, "rude")
    assert told() == {}


def test_a_decision_without_a_report_tells_nobody(reply, moderator):
    Report.objects.all().delete()
    actions.hide(reply, moderator, "rude")
    assert told() == {}
