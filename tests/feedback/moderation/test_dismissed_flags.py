"""A flag that a moderator found unfounded leaves training, whoever made it; one that its maker took back takes only
itself away."""

import pytest

from feedback import trainable
from feedback.judgements import corrections
from feedback.models import Ranking, Report, Rule, Violation
from feedback.moderation import actions, flag_reports, reports
from tests.feedback.conversation_rows import talk
from tests.feedback.ranking_tasks import make_task
from tests.people import make_person


@pytest.fixture
def version(seeds):
    return Rule.objects.get(key="minors").versions.first()


@pytest.fixture
def task(policy):
    return make_task(policy)


def flagged(task, version, name, index=0):
    annotator, completion = make_person(name), task.completions.get(index=index)
    made = Ranking.objects.create(task=task, annotator=annotator, ranks={})
    flag = Violation.objects.create(rule_version=version, completion=completion, annotator=annotator, ranking=made)
    flag_reports.open_for_flags(annotator, {(completion.pk, version.pk)})
    return flag


def training():
    return list(trainable.violations().order_by("pk"))


def test_an_annotator_s_flag_that_was_dismissed_does_not_train(task, version, moderator):
    """Damage 6: only reports of messages were looked at."""
    flag = flagged(task, version, "a")
    assert training() == [flag]
    entry = actions.dismiss(flag.completion, moderator, "no")
    assert training() == []
    actions.undo(entry, moderator, "it was")
    assert training() == [flag]


def test_it_takes_the_same_flags_of_others_with_it_and_no_other_flags(task, version, moderator, seeds):
    by_a, by_b = flagged(task, version, "a"), flagged(task, version, "b")
    elsewhere = flagged(task, version, "c", index=1)
    other = Rule.objects.get(key="no-insults").versions.first()
    other_rule = Violation.objects.create(rule_version=other, completion=by_a.completion, annotator=by_a.annotator)
    clean = Violation.objects.create(
        rule_version=version, completion=by_a.completion, annotator=moderator, is_violation=False
    )
    Report.objects.filter(reporter=by_b.annotator).delete()  # as when it was below the threshold
    actions.dismiss(by_a.completion, moderator, "no")
    assert training() == [elsewhere, other_rule, clean]


def test_a_chatter_s_flag_takes_those_of_others_on_the_reply_with_it(policy, version, moderator):
    owner, other = make_person("owner"), make_person("other")
    reply = talk(owner, "Hm", "Hm.", policy=policy)[1]
    reports.report_message(owner, reply, version, "")
    Violation.objects.create(rule_version=version, message=reply, annotator=other)
    assert len(training()) == 2
    actions.dismiss(reply, moderator, "no")
    assert training() == []


def test_what_was_upheld_trains(task, version, moderator):
    flag = flagged(task, version, "a")
    actions.suspend(make_person("x"), moderator, "y", until=_tomorrow(), about=flag.completion)
    assert Report.objects.get().state == "decided"
    assert training() == [flag]


def test_a_report_that_its_maker_took_back_says_nothing_about_the_flags_of_others(task, version):
    by_a, by_b = flagged(task, version, "a"), flagged(task, version, "b")
    corrections.withdraw(by_a.ranking_id, by_a.annotator)
    assert sorted(Report.objects.values_list("state", flat=True)) == ["open", "withdrawn"]
    assert training() == [by_b]


def _tomorrow():
    from datetime import timedelta

    from django.utils import timezone

    return timezone.now() + timedelta(days=1)
