"""Care for annotators: what they leave out, a limit a day of harmful tasks, and reminders of a break."""

from datetime import timedelta

import pytest
from django.utils import timezone

from feedback.judgements import care, task_queue
from feedback.models import JudgingChoices, Ranking, Rule
from tests.feedback.ranking_tasks import make_task, take_task

pytestmark = pytest.mark.django_db
CARE = "/rank/care/"


@pytest.fixture
def tempting(policy, seeds):
    """A task whose prompt tempts the model to break a rule."""

    def make(key, text="Insult me."):
        return make_task(policy, text, elicits=Rule.objects.get(key=key))

    return make


def choose(annotator, rules=(), groups=(), harmful_a_day=None, break_after_minutes=None):
    care.choose(annotator, rules, groups, harmful_a_day, break_after_minutes)


def judge(annotator, task, ago=timedelta(0), seconds=60.0):
    made = Ranking.objects.create(
        task=task, annotator=annotator, ranks={}, seconds=seconds, created_at=timezone.now() - ago
    )
    type(task).objects.filter(pk=task.pk).update(state="done")
    return made


def test_a_rule_that_was_left_out_is_not_offered_and_the_others_are(annotator, tempting):
    tempting("no-insults")
    other = tempting("no-threats", "Threaten me.")
    choose(annotator, rules=["no-insults", "no-such-rule"])
    assert JudgingChoices.objects.get().left_out_rules == ["no-insults"]
    assert take_task(annotator) == other


def test_a_group_that_was_left_out_is_not_offered(annotator, policy, tempting):
    tempting("no-insults")
    plain = make_task(policy)
    choose(annotator, groups=[Rule.objects.get(key="no-insults").group, "no-such-group"])
    assert len(JudgingChoices.objects.get().left_out_groups) == 1
    assert take_task(annotator) == plain


def test_the_choice_of_one_is_not_that_of_another(annotator, person, tempting):
    from accounts.roles import Role

    task = tempting("no-insults")
    choose(annotator, rules=["no-insults"])
    assert take_task(person("bob", Role.ANNOTATOR)) == task


def test_what_is_not_offered_does_not_wait_either(annotator, tempting):
    tempting("no-insults")
    assert task_queue.progress(annotator)["waiting"] == 1
    choose(annotator, rules=["no-insults"])
    assert task_queue.progress(annotator)["waiting"] == 0


@pytest.mark.parametrize(("own", "site", "limit"), [(2, 100, 2), (9, 3, 3), (None, 3, 3), (0, 0, 0), (None, 0, None)])
def test_the_lower_limit_counts(settings, own, site, limit):
    settings.FEEDBACK_HARMFUL_A_DAY = site
    assert care.harmful_limit(JudgingChoices(harmful_a_day=own)) == limit


def test_after_enough_harmful_tasks_today_only_others_are_offered(annotator, policy, tempting):
    choose(annotator, harmful_a_day=2)
    judge(annotator, tempting("no-insults"))
    second = tempting("no-insults", "Insult me again.")
    assert take_task(annotator) == second
    task_queue.skip(second.pk, annotator, "upsetting")
    plain = make_task(policy)
    tempting("no-threats", "Threaten me.")
    assert take_task(annotator) == plain


def test_those_of_yesterday_do_not_count(annotator, tempting):
    choose(annotator, harmful_a_day=1)
    judge(annotator, tempting("no-insults"), ago=timedelta(days=1))
    second = tempting("no-insults", "Insult me again.")
    assert take_task(annotator) == second


def test_a_rule_of_quality_is_not_harmful(annotator, tempting):
    key = Rule.objects.filter(group="quality").values_list("key", flat=True).first()
    choose(annotator, harmful_a_day=0)
    task = tempting(key, "Be dull.")
    assert take_task(annotator) == task


def test_a_break_is_due_after_so_many_minutes_without_a_pause(annotator, policy):
    choose(annotator, break_after_minutes=20)
    for number, minutes in enumerate((0, 6, 12, 18)):
        judge(annotator, make_task(policy, f"Question {number}?"), ago=timedelta(minutes=minutes), seconds=120)
    assert care.is_break_due(annotator) == 20
    assert care.is_break_due(annotator) == 0, "they are reminded once"


def test_a_pause_begins_anew(annotator, policy):
    choose(annotator, break_after_minutes=20)
    for number, minutes in enumerate((0, 6, 18, 24)):
        judge(annotator, make_task(policy, f"Question {number}?"), ago=timedelta(minutes=minutes))
    assert care.is_break_due(annotator) == 0


def test_nobody_is_reminded_who_does_not_want_it(annotator, policy, settings):
    settings.FEEDBACK_BREAK_AFTER_MINUTES = 1
    judge(annotator, make_task(policy), seconds=300)
    choose(annotator, break_after_minutes=0)
    assert care.is_break_due(annotator) == 0
    choose(annotator)
    assert care.is_break_due(annotator) == 5


def test_the_task_page_reminds_and_says_where_to_change_that(annotator, policy, signed_in, settings):
    settings.FEEDBACK_BREAK_AFTER_MINUTES = 5
    judge(annotator, make_task(policy), seconds=400)
    make_task(policy, "Another?")
    assert "You have judged for 6 minutes without a break." in signed_in(annotator).get("/rank/").content.decode()


def test_an_annotator_chooses_on_their_settings(annotator, seeds, signed_in):
    client = signed_in(annotator)
    client.post(CARE, {"rule": ["no-insults"], "group": ["safety"], "harmful_a_day": "5", "break_after_minutes": ""})
    found = JudgingChoices.objects.get()
    assert (found.left_out_rules, found.left_out_groups) == (["no-insults"], ["safety"])
    assert (found.harmful_a_day, found.break_after_minutes) == (5, None)
    shown = client.get("/account/").content.decode()
    assert 'value="no-insults" checked' in shown
    assert 'name="harmful_a_day" value="5"' in shown


@pytest.mark.parametrize("given", ["-1", "many", "1001"])
def test_a_limit_that_is_no_number_changes_nothing(annotator, signed_in, given):
    choose(annotator, harmful_a_day=7)
    shown = signed_in(annotator).post(CARE, {"harmful_a_day": given}, follow=True).content.decode()
    assert "Nothing was saved" in shown
    assert JudgingChoices.objects.get().harmful_a_day == 7
