"""Leases, skips, submits and withdrawals, one person at a time and many at once."""

import threading
from datetime import timedelta

import pytest
from django.db import close_old_connections, connection
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from accounts.models import User
from accounts.roles import Role
from feedback import trainable
from feedback.errors import AlreadySubmitted, BadFlags, NoLongerAllowed, NotYourTask, TooLate
from feedback.judgements import task_queue
from feedback.judgements.rankings import BadRanking
from feedback.judgements.task_queue import Judgement
from feedback.models import Completion, Prompt, Ranking, RankingTask, Report, Rule, Skip, Violation
from tests.feedback.conftest import make_person, make_task, talk


def in_order(task):
    """A judgement that ranks the completions as they were written."""
    return Judgement([(pk, place) for place, pk in enumerate(task.completions.values_list("pk", flat=True), start=1)])


def later(**delta):
    return timezone.now() + timedelta(**delta)


def test_a_task_is_leased_in_a_random_order_that_is_kept(policy, annotator):
    task = make_task(policy)
    orders = set()
    for _ in range(12):
        given = task_queue.next_task(annotator)
        assert given == task
        assert sorted(given.shown_order) == sorted(task.completions.values_list("pk", flat=True))
        assert task_queue.next_task(annotator).shown_order == given.shown_order
        orders.add(tuple(given.shown_order))
        RankingTask.objects.update(state="open", leased_to=None)
    assert len(orders) > 3


def test_another_person_gets_another_task(policy, annotator, person):
    first, second = make_task(policy), make_task(policy, "Why?")
    assert task_queue.next_task(annotator) == first
    assert task_queue.next_task(person("bob", Role.ANNOTATOR)) == second
    assert task_queue.next_task(person("eve", Role.ANNOTATOR)) is None


def test_an_expired_lease_goes_to_the_next_person_without_the_draft(policy, annotator, person):
    task = make_task(policy)
    task_queue.next_task(annotator)
    task_queue.save_draft(task.pk, annotator, {"comment": "mine"})
    bob = person("bob", Role.ANNOTATOR)
    assert task_queue.next_task(bob) is None
    given = task_queue.next_task(bob, now=later(minutes=31))
    assert (given, given.draft) == (task, {})
    with pytest.raises(NotYourTask):
        task_queue.submit(task.pk, annotator, in_order(task))
    with pytest.raises(NotYourTask):
        task_queue.save_draft(task.pk, annotator, {})
    assert not Ranking.objects.exists()


def test_an_expired_lease_that_nobody_wanted_is_still_its_holder_s(policy, annotator):
    task = make_task(policy)
    task_queue.next_task(annotator)
    task_queue.save_draft(task.pk, annotator, {"comment": "mine"})
    assert task_queue.next_task(annotator, now=later(hours=5)).draft == {"comment": "mine"}
    assert task_queue.submit(task.pk, annotator, in_order(task)).pk


def test_nobody_ranks_replies_to_their_own_conversation(policy, annotator, person):
    message = talk(annotator, "A secret plan", "Fine.")[0]
    task = make_task(policy, "A secret plan", source="conversation", message=message)
    assert task_queue.next_task(annotator) is None
    assert task_queue.next_task(person("bob", Role.ANNOTATOR)) == task


def test_a_submit_stores_ranks_order_flags_and_reports(policy, annotator, seeds):
    rule = Rule.objects.get(key="no-body")
    asked = Rule.objects.get(key="no-insults").versions.first()
    version = rule.versions.first()
    task = make_task(policy)
    given = task_queue.next_task(annotator)
    ids = list(task.completions.values_list("pk", flat=True))
    places = [(ids[0], 4), (ids[1], 1), (ids[2], 1), (ids[3], 2)]
    made = task_queue.submit(task.pk, annotator, Judgement(places, [(ids[0], version.pk)], [asked.pk], "too long"))
    made.refresh_from_db()
    assert made.ranks == {str(ids[0]): 3, str(ids[1]): 1, str(ids[2]): 1, str(ids[3]): 2}
    assert (made.shown_order, made.comment, made.is_simulated) == (given.shown_order, "too long", False)
    assert made.guidelines_version == task_queue.GUIDELINES_VERSION
    said = {(v.completion_id, v.rule_version_id): v.is_violation for v in made.violations.all()}
    assert said == {(pk, v): (pk, v) == (ids[0], version.pk) for pk in ids for v in (version.pk, asked.pk)}
    report = Report.objects.get()
    assert (report.completion_id, report.rule_version, report.reporter) == (ids[0], version, annotator)
    task.refresh_from_db()
    assert (task.state, task.leased_to) == ("done", None)


def test_a_second_submit_is_an_error_and_the_first_stays(policy, annotator):
    task = make_task(policy)
    task_queue.next_task(annotator)
    first = task_queue.submit(task.pk, annotator, in_order(task))
    with pytest.raises(AlreadySubmitted, match="already ranked"):
        task_queue.submit(
            task.pk, annotator, Judgement([(pk, 1) for pk in task.completions.values_list("pk", flat=True)])
        )
    assert Ranking.objects.get().ranks == first.ranks


def test_a_foreign_task_is_refused(policy, annotator, person):
    task = make_task(policy)
    task_queue.next_task(person("bob", Role.ANNOTATOR))
    with pytest.raises(NotYourTask):
        task_queue.submit(task.pk, annotator, in_order(task))
    with pytest.raises(NotYourTask):
        task_queue.skip(task.pk, annotator, "other")


def test_a_bad_ranking_or_flag_changes_nothing(policy, annotator, seeds):
    task, other = make_task(policy), make_task(policy, "Why?")
    version = Rule.objects.get(key="no-body").versions.first().pk
    task_queue.next_task(annotator)
    ids = list(task.completions.values_list("pk", flat=True))
    foreign = other.completions.first().pk
    good = [(pk, 1) for pk in ids]
    with pytest.raises(BadRanking):
        task_queue.submit(task.pk, annotator, Judgement(good[:3]))
    with pytest.raises(BadRanking):
        task_queue.submit(task.pk, annotator, Judgement([*good, good[0]]))
    with pytest.raises(BadFlags):
        task_queue.submit(task.pk, annotator, Judgement(good, [(foreign, version)]))
    with pytest.raises(BadFlags):
        task_queue.submit(task.pk, annotator, Judgement(good, [(ids[0], 10**9)]))
    assert not Ranking.objects.exists()
    assert not Violation.objects.exists()
    assert task_queue.next_task(annotator) == task


def test_a_skip_gives_the_task_to_others_and_two_retire_it(policy, annotator, person):
    task = make_task(policy)
    task_queue.next_task(annotator)
    task_queue.skip(task.pk, annotator, Skip.Reason.ALL_BAD)
    assert task_queue.next_task(annotator) is None
    bob = person("bob", Role.ANNOTATOR)
    assert task_queue.next_task(bob) == task
    task_queue.skip(task.pk, bob, Skip.Reason.UPSETTING)
    task.refresh_from_db()
    assert task.state == "withdrawn"
    assert set(Skip.objects.values_list("reason", flat=True)) == {"all_bad", "upsetting"}


def test_withdrawing_within_a_day_frees_the_task_for_others(policy, annotator, person, seeds):
    task = make_task(policy)
    task_queue.next_task(annotator)
    flag = (task.completions.first().pk, Rule.objects.get(key="no-body").versions.first().pk)
    made = task_queue.submit(task.pk, annotator, Judgement(in_order(task).places, [flag]))
    assert (trainable.rankings().count(), trainable.violations().count()) == (1, 4)
    task_queue.withdraw(made.pk, annotator)
    task_queue.withdraw(made.pk, annotator)
    assert (trainable.rankings().count(), trainable.violations().count()) == (0, 0)
    assert Report.objects.get().state == "dismissed"
    assert task_queue.next_task(annotator) is None
    assert task_queue.next_task(person("bob", Role.ANNOTATOR)) == task


def test_withdrawing_is_for_one_s_own_and_for_a_day(policy, annotator, person):
    task = make_task(policy)
    task_queue.next_task(annotator)
    made = task_queue.submit(task.pk, annotator, in_order(task))
    with pytest.raises(Ranking.DoesNotExist):
        task_queue.withdraw(made.pk, person("bob", Role.ANNOTATOR))
    Ranking.objects.update(created_at=timezone.now() - timedelta(hours=25))
    with pytest.raises(TooLate):
        task_queue.withdraw(made.pk, annotator)
    assert trainable.rankings().count() == 1


def test_consent_taken_back_ends_a_task_under_way(policy, annotator, person):
    message = talk(person("carl"), "My plan", "Fine.")[0]
    task = make_task(policy, "My plan", source="conversation", message=message)
    assert task_queue.next_task(annotator) == task
    message.conversation.may_train = False
    message.conversation.save()
    with pytest.raises(NoLongerAllowed):
        task_queue.submit(task.pk, annotator, in_order(task))
    assert task_queue.next_task(annotator) is None
    assert not Ranking.objects.exists()


# --- what may train -------------------------------------------------------------------------------


@pytest.fixture
def judged(policy, annotator, person, seeds):
    """A ranking of replies to a consenting person's message, with one flag."""
    asked, answered = talk(person("carl"), "My plan", "Fine.")
    task = make_task(policy, "My plan", source="conversation", message=asked)
    task_queue.next_task(annotator)
    flag = (task.completions.first().pk, Rule.objects.get(key="no-body").versions.first().pk)
    task_queue.submit(task.pk, annotator, Judgement(in_order(task).places, [flag]))
    return asked, answered, task


def trains():
    return (
        trainable.rankings().exists(),
        trainable.violations().exists(),
        trainable.prompts().filter(source="conversation").exists(),
    )


def test_with_consent_all_of_it_trains(judged):
    assert trains() == (True, True, True)


def test_without_consent_nothing_of_it_trains(judged):
    conversation = judged[0].conversation
    conversation.may_train = False
    conversation.save()
    assert trains() == (False, False, False)


def test_a_deleted_conversation_does_not_train(judged):
    conversation = judged[0].conversation
    conversation.deleted_at = timezone.now()
    conversation.save()
    assert trains() == (False, False, False)


@pytest.mark.parametrize("change", [{"hidden_at": timezone.now()}, {"never_train": True}])
def test_a_hidden_or_kept_out_turn_takes_its_prompt_along(judged, change):
    type(judged[0]).objects.filter(pk=judged[0].pk).update(**change)
    assert trains() == (False, False, False)


@pytest.mark.parametrize("change", [{"hidden_at": timezone.now()}, {"never_train": True}])
def test_a_hidden_or_kept_out_completion_takes_its_ranking_along(judged, change):
    Completion.objects.filter(pk=judged[2].completions.first().pk).update(**change)
    assert trainable.rankings().count() == 0
    assert trainable.violations().count() == 3


@pytest.mark.parametrize("change", [{"suspended_until": later(days=1)}, {"is_active": False}])
def test_judgements_of_the_banned_do_not_train(judged, annotator, change):
    User.objects.filter(pk=annotator.pk).update(**change)
    assert trains()[:2] == (False, False)
    User.objects.filter(pk=annotator.pk).update(suspended_until=timezone.now(), is_active=True)
    assert trains()[:2] == (True, True)


# --- many at once ---------------------------------------------------------------------------------


def at_once(*functions):
    """Runs them in threads that start together; returns each one's result or exception."""
    barrier, results = threading.Barrier(len(functions)), [None] * len(functions)

    def run(index, function):
        close_old_connections()
        barrier.wait()
        try:
            results[index] = function()
        except Exception as error:
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=item) for item in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results


@pytest.mark.django_db(transaction=True)
def test_two_people_never_hold_the_same_task():
    from chat.models import Policy

    policy = Policy.objects.create(name="scripted", version=1, is_live=True, is_scripted=True)
    people = [make_person(f"annotator-{number}", Role.ANNOTATOR) for number in range(8)]
    tasks = [make_task(policy, f"Question {number}?") for number in range(5)]
    given = at_once(*[lambda who=who: task_queue.next_task(who) for who in people])
    held = [task.pk for task in given if task is not None]
    assert sorted(held) == sorted(task.pk for task in tasks)
    assert RankingTask.objects.filter(state="leased").values("leased_to").distinct().count() == 5


@pytest.mark.django_db(transaction=True)
def test_one_person_in_many_tabs_holds_one_task():
    from chat.models import Policy

    policy = Policy.objects.create(name="scripted", version=1, is_live=True, is_scripted=True)
    for number in range(6):
        make_task(policy, f"Question {number}?")
    ann = make_person("ann", Role.ANNOTATOR)
    given = at_once(*[lambda: task_queue.next_task(ann) for _ in range(6)])
    assert len({task.pk for task in given}) == 1
    assert RankingTask.objects.filter(state="leased").count() == 1


@pytest.mark.django_db(transaction=True)
def test_one_task_submitted_many_times_at_once_counts_once():
    from chat.models import Policy

    policy = Policy.objects.create(name="scripted", version=1, is_live=True, is_scripted=True)
    task, ann = make_task(policy), make_person("ann", Role.ANNOTATOR)
    task_queue.next_task(ann)
    judgement = in_order(task)
    judgement = Judgement(list(judgement.places))
    results = at_once(*[lambda: task_queue.submit(task.pk, ann, judgement) for _ in range(6)])
    assert sum(isinstance(result, Ranking) for result in results) == 1
    assert sum(isinstance(result, AlreadySubmitted) for result in results) == 5
    assert Ranking.objects.count() == 1


# --- the life of tasks ----------------------------------------------------------------------------


class Life(RuleBasedStateMachine):
    """Anybody may do anything in any order, with the clock jumping; the promises hold after each step."""

    def __init__(self):
        super().__init__()
        self.atomic = __import__("django.db.transaction", fromlist=["atomic"]).atomic()
        self.atomic.__enter__()
        self.acknowledged, self.taken_back = set(), set()

    def teardown(self):
        connection.set_rollback(True)
        self.atomic.__exit__(None, None, None)

    @initialize(tasks=st.integers(1, 3), people=st.integers(1, 3))
    def begin(self, tasks, people):
        from chat.models import Policy

        policy = Policy.objects.create(name="machine", version=99, is_live=True, is_scripted=True)
        self.people = [make_person(f"person-{number}", Role.ANNOTATOR) for number in range(people)]
        self.tasks = [make_task(policy, f"Machine question {number}?", replies=2) for number in range(tasks)]

    def who(self, number):
        return self.people[number % len(self.people)]

    def which(self, number):
        return self.tasks[number % len(self.tasks)]

    @rule(who=st.integers(0, 5), hours=st.sampled_from([0, 0, 1]))
    def take(self, who, hours):
        task = task_queue.next_task(self.who(who), now=later(hours=hours))
        assert task is None or task.leased_to == self.who(who)

    @rule(who=st.integers(0, 5), which=st.integers(0, 5))
    def submit(self, who, which):
        person, task = self.who(who), self.which(which)
        is_theirs = RankingTask.objects.filter(pk=task.pk, state="leased", leased_to=person).exists()
        has_ranked = Ranking.objects.filter(task=task, annotator=person).exists()
        try:
            self.acknowledged.add(task_queue.submit(task.pk, person, in_order(task)).pk)
            assert is_theirs
        except AlreadySubmitted:
            assert has_ranked
        except NotYourTask:
            assert not is_theirs
            assert not has_ranked

    @rule(who=st.integers(0, 5), which=st.integers(0, 5))
    def skip(self, who, which):
        try:
            task_queue.skip(self.which(which).pk, self.who(who), "other")
        except NotYourTask:
            assert not RankingTask.objects.filter(pk=self.which(which).pk, leased_to=self.who(who)).exists()

    @precondition(lambda self: self.acknowledged)
    @rule(number=st.integers(0, 20))
    def withdraw(self, number):
        pk = sorted(self.acknowledged)[number % len(self.acknowledged)]
        task_queue.withdraw(pk, Ranking.objects.get(pk=pk).annotator)
        self.taken_back.add(pk)

    @invariant()
    def what_was_acknowledged_is_there(self):
        stored = dict(
            Ranking.objects.filter(task__prompt__messages__0__content__startswith="Machine").values_list(
                "pk", "withdrawn_at"
            )
        )
        assert set(stored) == self.acknowledged
        assert {pk for pk, at in stored.items() if at} == self.taken_back

    @invariant()
    def a_lease_has_a_holder_and_a_holder_one_lease(self):
        leased = RankingTask.objects.filter(state="leased")
        holders = list(leased.values_list("leased_to", flat=True))
        assert None not in holders
        assert len(holders) == len(set(holders))
        assert not RankingTask.objects.exclude(state="leased").filter(leased_to__isnull=False).exists()

    @invariant()
    def a_task_is_done_once(self):
        kept = Ranking.objects.filter(withdrawn_at__isnull=True)
        assert kept.count() == kept.values("task").distinct().count()
        assert not RankingTask.objects.filter(state="done").exclude(pk__in=kept.values("task")).exists()


@pytest.mark.django_db
def test_the_life_of_tasks_keeps_its_promises():
    from hypothesis.stateful import run_state_machine_as_test

    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    run_state_machine_as_test(
        Life, settings=settings(max_examples=20, stateful_step_count=20, deadline=None, suppress_health_check=checks)
    )
    assert not Prompt.objects.filter(messages__0__content__startswith="Machine").exists()
