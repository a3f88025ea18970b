"""Which flags of annotators reach moderators: grave ones, those that several agree on, and a sample."""

import pytest

from feedback import trainable
from feedback.judgements import corrections, task_queue
from feedback.judgements.task_queue import Judgement
from feedback.models import Ranking, RankingTask, Report, Rule, Violation
from feedback.moderation import actions, flag_reports
from tests.feedback.ranking_tasks import make_task
from tests.people import make_person


@pytest.fixture(autouse=True)
def no_sample(settings, seeds):
    settings.FEEDBACK_FLAG_SAMPLE = 0.0
    settings.FEEDBACK_FLAGS_TO_REPORT = 2


@pytest.fixture
def task(policy):
    return make_task(policy)


def flag(task, name, key):
    """As when `name` flags the first reply in a ranking of theirs."""
    annotator = make_person(name)
    version = Rule.objects.get(key=key).versions.first()
    completion = task.completions.first()
    made = Ranking.objects.create(task=task, annotator=annotator, ranks={})
    Violation.objects.create(rule_version=version, completion=completion, annotator=annotator, ranking=made)
    flag_reports.open_for_flags(annotator, {(completion.pk, version.pk)})
    return made


def reporters():
    return sorted(Report.objects.filter(state="open").values_list("reporter__username", flat=True))


def test_an_annotation_day_does_not_fill_the_queue(policy, annotator):
    """Damage 7: each flag opened a report, of quality as well."""
    for number in range(10):
        task = make_task(policy, text=f"Question {number}?")
        task_queue.next_assignment(annotator)
        ids = list(task.completions.values_list("pk", flat=True))
        version = Rule.objects.get(key="stay-on-topic").versions.first().pk
        task_queue.submit(task.pk, annotator, Judgement([(pk, 1) for pk in ids], [(pk, version) for pk in ids]))
    assert Violation.objects.filter(is_violation=True).count() == 40
    assert trainable.violations().filter(is_violation=True).count() == 40
    assert not Report.objects.exists()


def test_one_flag_by_a_severe_rule_is_enough(task):
    flag(task, "a", "minors")
    assert reporters() == ["a"]


def test_a_rule_against_harm_needs_as_many_as_the_setting_says_and_then_all_of_them_are_reporters(task, settings):
    settings.FEEDBACK_FLAGS_TO_REPORT = 3
    flag(task, "a", "no-insults")
    flag(task, "b", "no-insults")
    assert reporters() == []
    flag(task, "c", "no-insults")
    assert reporters() == ["a", "b", "c"]
    flag(task, "d", "no-insults")
    assert reporters() == ["a", "b", "c", "d"]


def test_flags_by_different_rules_do_not_add_up(task):
    flag(task, "a", "no-insults")
    flag(task, "b", "no-stereotypes")
    assert reporters() == []


def test_a_withdrawn_ranking_and_a_program_do_not_count(task):
    first = flag(task, "a", "no-insults")
    RankingTask.objects.filter(pk=task.pk).update(state="done")
    corrections.withdraw(first.pk, first.annotator)
    made = flag(task, "b", "no-insults")
    Violation.objects.filter(ranking=made).update(is_simulated=True)
    flag(task, "c", "no-insults")
    assert reporters() == []


def test_rules_of_quality_reach_moderators_as_a_sample_alone(task, settings):
    for name in ("a", "b", "c"):
        flag(task, name, "stay-on-topic")
    assert reporters() == []
    settings.FEEDBACK_FLAG_SAMPLE = 1.0
    flag(task, "d", "stay-on-topic")
    assert reporters() == ["d"]


def test_the_sample_is_the_share_that_the_setting_says_and_always_the_same(task, settings):
    settings.FEEDBACK_FLAG_SAMPLE = 0.2
    rule, who = Rule.objects.get(key="stay-on-topic"), make_person("a")
    drawn = [flag_reports.is_sampled(number, rule, who) for number in range(2000)]
    assert 320 <= sum(drawn) <= 480  # within 4.5 standard deviations of 400
    assert drawn == [flag_reports.is_sampled(number, rule, who) for number in range(2000)]


def test_what_a_moderator_dismissed_is_not_reported_again(task, moderator):
    flag(task, "a", "minors")
    actions.dismiss(task.completions.first(), moderator, "no")
    flag(task, "b", "minors")
    assert reporters() == []
