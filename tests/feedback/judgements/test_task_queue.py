"""Leases, skips, submits and withdrawals, one person at a time and many at once."""

import threading
from datetime import timedelta

import pytest
from django.db import close_old_connections, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from accounts.roles import Role
from feedback import guidelines, trainable
from feedback.errors import AlreadySubmitted, BadFlags, NoLongerAllowed, NotYourTask, TakenMeanwhile, TooLate
from feedback.judgements import assignments, corrections, task_queue
from feedback.judgements.rankings import BadRanking
from feedback.judgements.task_queue import Judgement
from feedback.models import Assignment, Prompt, Ranking, RankingTask, Report, Rule, Skip, Violation
from feedback.projects import offers
from tests.feedback.conversation_rows import talk
from tests.feedback.ranking_tasks import in_order, later, make_task, take_task
from tests.people import make_person


@pytest.fixture(autouse=True)
def _by_need(monkeypatch):
    monkeypatch.setattr(offers, "SHARE_BY_LOT", 0)


def test_a_task_is_leased_in_a_random_order_that_is_kept(policy, annotator):
    task = make_task(policy)
    orders = set()
    for _ in range(12):
        given = task_queue.next_assignment(annotator)
        assert given.task == task
        assert sorted(given.shown_order) == sorted(task.completions.values_list("pk", flat=True))
        assert task_queue.next_assignment(annotator).shown_order == given.shown_order
        orders.add(tuple(given.shown_order))
        assignments.release(annotator)
    assert len(orders) > 3


def test_another_person_gets_another_task(policy, annotator, person):
    first, second = make_task(policy), make_task(policy, "Why?")
    assert take_task(annotator) == first
    assert take_task(person("bob", Role.ANNOTATOR)) == second
    assert take_task(person("eve", Role.ANNOTATOR)) is None


def test_an_expired_lease_goes_to_the_next_person_without_the_draft(policy, annotator, person):
    task = make_task(policy)
    take_task(annotator)
    task_queue.save_draft(task.pk, annotator, {"comment": "mine"})
    bob = person("bob", Role.ANNOTATOR)
    assert take_task(bob) is None
    given = task_queue.next_assignment(bob, now=later(minutes=31))
    assert (given.task, given.draft) == (task, {})
    with pytest.raises(NotYourTask):
        task_queue.submit(task.pk, annotator, in_order(task))
    with pytest.raises(NotYourTask):
        task_queue.save_draft(task.pk, annotator, {})
    assert not Ranking.objects.exists()


def test_an_expired_lease_that_nobody_wanted_is_still_its_holder_s(policy, annotator):
    task = make_task(policy)
    take_task(annotator)
    task_queue.save_draft(task.pk, annotator, {"comment": "mine"})
    assert task_queue.next_assignment(annotator, now=later(hours=5)).draft == {"comment": "mine"}
    assert task_queue.submit(task.pk, annotator, in_order(task)).pk


def test_nobody_ranks_replies_to_their_own_conversation(policy, annotator, person):
    message = talk(annotator, "A secret plan", "Fine.")[0]
    task = make_task(policy, "A secret plan", source="conversation", message=message)
    assert take_task(annotator) is None
    assert take_task(person("bob", Role.ANNOTATOR)) == task


def test_a_submit_stores_ranks_order_flags_and_reports(policy, annotator, seeds, monkeypatch):
    monkeypatch.setattr("django.conf.settings.FEEDBACK_FLAG_SAMPLE", 1.0)
    rule = Rule.objects.get(key="no-body")
    asked = Rule.objects.get(key="no-insults").versions.first()
    version = rule.versions.first()
    task = make_task(policy)
    given = task_queue.next_assignment(annotator)
    ids = list(task.completions.values_list("pk", flat=True))
    places = [(ids[0], 4), (ids[1], 1), (ids[2], 1), (ids[3], 2)]
    made = task_queue.submit(task.pk, annotator, Judgement(places, [(ids[0], version.pk)], [asked.pk], "too long"))
    made.refresh_from_db()
    assert made.ranks == {str(ids[0]): 3, str(ids[1]): 1, str(ids[2]): 1, str(ids[3]): 2}
    assert (made.shown_order, made.comment, made.is_simulated) == (given.shown_order, "too long", False)
    assert made.guidelines_version == guidelines.current().number
    said = {(v.completion_id, v.rule_version_id): v.is_violation for v in made.violations.all()}
    assert said == {(pk, v): (pk, v) == (ids[0], version.pk) for pk in ids for v in (version.pk, asked.pk)}
    report = Report.objects.get()
    assert (report.completion_id, report.rule_version, report.reporter) == (ids[0], version, annotator)
    task.refresh_from_db()
    assert (task.state, task.assignments.count()) == ("done", 0)


def test_a_second_submit_is_an_error_and_the_first_stays(policy, annotator):
    task = make_task(policy)
    take_task(annotator)
    first = task_queue.submit(task.pk, annotator, in_order(task))
    with pytest.raises(AlreadySubmitted, match="already ranked"):
        task_queue.submit(
            task.pk, annotator, Judgement([(pk, 1) for pk in task.completions.values_list("pk", flat=True)])
        )
    assert Ranking.objects.get().ranks == first.ranks


def test_a_foreign_task_is_refused(policy, annotator, person):
    task = make_task(policy)
    take_task(person("bob", Role.ANNOTATOR))
    with pytest.raises(NotYourTask):
        task_queue.submit(task.pk, annotator, in_order(task))
    with pytest.raises(NotYourTask):
        task_queue.skip(task.pk, annotator, "other")


def test_a_bad_ranking_or_flag_changes_nothing(policy, annotator, seeds):
    task = make_task(policy)
    version = Rule.objects.get(key="no-body").versions.first().pk
    take_task(annotator)
    other = make_task(policy, "Why?")
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
    assert take_task(annotator) == task


def test_a_skip_gives_the_task_to_others_and_two_retire_it(policy, annotator, person):
    task = make_task(policy)
    take_task(annotator)
    task_queue.skip(task.pk, annotator, Skip.Reason.ALL_BAD)
    assert take_task(annotator) is None
    bob = person("bob", Role.ANNOTATOR)
    assert take_task(bob) == task
    task_queue.skip(task.pk, bob, Skip.Reason.UPSETTING)
    task.refresh_from_db()
    assert task.state == "withdrawn"
    assert set(Skip.objects.values_list("reason", flat=True)) == {"all_bad", "upsetting"}


def test_a_language_never_retires_a_task(policy, annotator, person):
    task = make_task(policy)
    people = [annotator, *(person(f"annotator-{number}", Role.ANNOTATOR) for number in range(4))]
    for one in people:
        assert take_task(one) == task
        task_queue.skip(task.pk, one, Skip.Reason.LANGUAGE)
    assert take_task(person("bob", Role.ANNOTATOR)) == task


def test_a_language_and_one_unclear_do_not_retire_and_two_unclear_do(policy, person):
    task = make_task(policy)
    for number, reason in enumerate(("unclear", "language", "unclear")):
        task.refresh_from_db()
        assert task.state == "open"
        one = person(f"annotator-{number}", Role.ANNOTATOR)
        assert take_task(one) == task
        task_queue.skip(task.pk, one, reason)
    task.refresh_from_db()
    assert task.state == "withdrawn"


def test_an_upsetting_task_opens_one_item_for_moderators(policy, annotator, person):
    message = talk(person("carl"), "Something cruel", "Fine.")[0]
    tasks = [make_task(policy), make_task(policy, "Something cruel", source="conversation", message=message)]
    RankingTask.objects.update(overlap=2)
    for one in (annotator, person("bob", Role.ANNOTATOR)):
        for task in tasks:
            assert take_task(one) == task
            task_queue.skip(task.pk, one, Skip.Reason.UPSETTING)
    found = [(report.completion, report.message, report.reporter, report.rule_version) for report in reports()]
    assert found == [(tasks[0].completions.first(), None, annotator, None), (None, message, annotator, None)]
    assert all("would rather not read it" in report.comment for report in reports())


def reports():
    return Report.objects.order_by("pk")


def test_withdrawing_within_a_day_frees_the_task_for_others(policy, annotator, person, seeds, monkeypatch):
    monkeypatch.setattr("django.conf.settings.FEEDBACK_FLAG_SAMPLE", 1.0)
    task = make_task(policy)
    take_task(annotator)
    flag = (task.completions.first().pk, Rule.objects.get(key="no-body").versions.first().pk)
    made = task_queue.submit(task.pk, annotator, Judgement(in_order(task).places, [flag]))
    assert (trainable.rankings().count(), trainable.violations().count()) == (1, 4)
    corrections.withdraw(made.pk, annotator)
    corrections.withdraw(made.pk, annotator)
    assert (trainable.rankings().count(), trainable.violations().count()) == (0, 0)
    assert Report.objects.get().state == "withdrawn"
    assert take_task(annotator) is None
    assert take_task(person("bob", Role.ANNOTATOR)) == task


def test_withdrawing_is_for_one_s_own_and_for_a_day(policy, annotator, person):
    task = make_task(policy)
    take_task(annotator)
    made = task_queue.submit(task.pk, annotator, in_order(task))
    with pytest.raises(Ranking.DoesNotExist):
        corrections.withdraw(made.pk, person("bob", Role.ANNOTATOR))
    Ranking.objects.update(created_at=timezone.now() - timedelta(hours=25))
    with pytest.raises(TooLate):
        corrections.withdraw(made.pk, annotator)
    assert trainable.rankings().count() == 1


def test_consent_taken_back_ends_a_task_under_way(policy, annotator, person):
    message = talk(person("carl"), "My plan", "Fine.")[0]
    task = make_task(policy, "My plan", source="conversation", message=message)
    assert take_task(annotator) == task
    message.conversation.may_train = False
    message.conversation.save()
    with pytest.raises(NoLongerAllowed):
        task_queue.submit(task.pk, annotator, in_order(task))
    assert take_task(annotator) is None
    assert not Ranking.objects.exists()


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
    given = at_once(*[lambda who=who: take_task(who) for who in people])
    held = [task.pk for task in given if task is not None]
    assert sorted(held) == sorted(task.pk for task in tasks)
    assert RankingTask.objects.filter(state="leased").count() == 5
    assert sorted(Assignment.objects.values_list("task", flat=True)) == sorted(held)


@pytest.mark.django_db(transaction=True)
def test_one_person_in_many_tabs_holds_one_task():
    from chat.models import Policy

    policy = Policy.objects.create(name="scripted", version=1, is_live=True, is_scripted=True)
    for number in range(6):
        make_task(policy, f"Question {number}?")
    ann = make_person("ann", Role.ANNOTATOR)
    given = at_once(*[lambda: take_task(ann) for _ in range(6)])
    assert len({task.pk for task in given}) == 1
    assert RankingTask.objects.filter(state="leased").count() == 1


@pytest.mark.django_db(transaction=True)
def test_one_task_submitted_many_times_at_once_counts_once():
    from chat.models import Policy

    policy = Policy.objects.create(name="scripted", version=1, is_live=True, is_scripted=True)
    task, ann = make_task(policy), make_person("ann", Role.ANNOTATOR)
    take_task(ann)
    judgement = in_order(task)
    judgement = Judgement(list(judgement.places))
    results = at_once(*[lambda: task_queue.submit(task.pk, ann, judgement) for _ in range(6)])
    assert sum(isinstance(result, Ranking) for result in results) == 1
    assert sum(isinstance(result, AlreadySubmitted) for result in results) == 5
    assert Ranking.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_task_for_three_is_given_to_three_of_many():
    from chat.models import Policy

    policy = Policy.objects.create(name="scripted", version=1, is_live=True, is_scripted=True)
    people = [make_person(f"annotator-{number}", Role.ANNOTATOR) for number in range(8)]
    task = make_task(policy)
    RankingTask.objects.update(overlap=3)
    given = at_once(*[lambda who=who: take_task(who) for who in people])
    assert [one for one in given if one is not None] == [task] * 3
    holders = [own.annotator for own in Assignment.objects.select_related("annotator")]
    judgement = Judgement(list(in_order(task).places))
    made = at_once(*[lambda who=who: task_queue.submit(task.pk, who, judgement) for who in holders])
    assert [type(one) for one in made] == [Ranking] * 3
    task.refresh_from_db()
    assert (task.state, Assignment.objects.count()) == ("done", 0)


# --- the life of tasks ----------------------------------------------------------------------------


class Life(RuleBasedStateMachine):
    """Anybody may do anything in any order, with the clock jumping; the promises hold after each step."""

    def __init__(self):
        super().__init__()
        self.atomic = __import__("django.db.transaction", fromlist=["atomic"]).atomic()
        self.atomic.__enter__()
        self.acknowledged, self.taken_back = set(), set()
        self.said = {}

    def teardown(self):
        connection.set_rollback(True)
        self.atomic.__exit__(None, None, None)

    @initialize(tasks=st.integers(1, 3), people=st.integers(1, 4), overlap=st.integers(1, 3))
    def begin(self, tasks, people, overlap):
        from chat.models import Policy

        policy = Policy.objects.create(name="machine", version=99, is_live=True, is_scripted=True)
        self.people = [make_person(f"person-{number}", Role.ANNOTATOR) for number in range(people)]
        self.tasks = [make_task(policy, f"Machine question {number}?", replies=2) for number in range(tasks)]
        RankingTask.objects.filter(pk__in=[task.pk for task in self.tasks]).update(overlap=overlap)

    def who(self, number):
        return self.people[number % len(self.people)]

    def which(self, number):
        return self.tasks[number % len(self.tasks)]

    @rule(who=st.integers(0, 5), hours=st.sampled_from([0, 0, 1]))
    def take(self, who, hours):
        task = take_task(self.who(who), now=later(hours=hours))
        assert task is None or task.assignments.filter(annotator=self.who(who)).exists()

    @rule(who=st.integers(0, 5), which=st.integers(0, 5))
    def submit(self, who, which):
        person, task = self.who(who), self.which(which)
        is_theirs = task.assignments.filter(annotator=person).exists()
        has_ranked = Ranking.objects.filter(task=task, annotator=person).exists()
        try:
            made = task_queue.submit(task.pk, person, in_order(task))
            self.acknowledged.add(made.pk)
            self.said[made.pk] = [made.ranks]
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
            assert not self.which(which).assignments.filter(annotator=self.who(who)).exists()

    @precondition(lambda self: self.acknowledged)
    @rule(number=st.integers(0, 20))
    def withdraw(self, number):
        pk = sorted(self.acknowledged)[number % len(self.acknowledged)]
        corrections.withdraw(pk, Ranking.objects.get(pk=pk).annotator)
        self.taken_back.add(pk)

    @precondition(lambda self: self.acknowledged)
    @rule(number=st.integers(0, 20), tied=st.booleans())
    def correct(self, number, tied):
        made = Ranking.objects.get(pk=sorted(self.acknowledged)[number % len(self.acknowledged)])
        ids = made.task.completions.values_list("pk", flat=True)
        has_room = made.task.state in ("open", "leased") and assignments.has_room(made.task)
        try:
            now = corrections.correct(
                made.pk,
                made.annotator,
                Judgement([(pk, 1 if tied else 2) for pk in ids[:1]] + [(pk, 1) for pk in ids[1:]]),
            )
        except TakenMeanwhile:
            assert made.pk in self.taken_back
            assert not has_room
        else:
            assert made.pk not in self.taken_back or has_room
            self.taken_back.discard(made.pk)
            self.said[made.pk].append(now.ranks)

    @invariant()
    def nothing_that_was_said_is_forgotten(self):
        for made in Ranking.objects.filter(pk__in=self.acknowledged):
            assert [*(before["ranks"] for before in made.history), made.ranks] == self.said[made.pk]

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
    def no_place_is_given_twice(self):
        for task in RankingTask.objects.filter(prompt__messages__0__content__startswith="Machine"):
            judged, at_work = task.rankings.filter(withdrawn_at=None).count(), task.assignments.count()
            assert judged + at_work <= task.overlap
            if task.state != "withdrawn":
                full = {True: "leased", False: "open"}[judged + at_work == task.overlap]
                assert task.state == ("done" if judged == task.overlap else full)


@pytest.mark.django_db
def test_the_life_of_tasks_keeps_its_promises():
    from hypothesis.stateful import run_state_machine_as_test

    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    run_state_machine_as_test(
        Life, settings=settings(max_examples=20, stateful_step_count=20, deadline=None, suppress_health_check=checks)
    )
    assert not Prompt.objects.filter(messages__0__content__startswith="Machine").exists()


@pytest.mark.django_db
def test_no_number_of_queries_grows_with_the_tasks_or_the_judgements(policy, annotator, person, signed_in):
    """Of the page of the next task, and of a submission that answers with the one after it."""
    client, other = signed_in(annotator), person("bob", Role.ANNOTATOR)
    counts = []
    for many in (10, 60):
        for number in range(many):
            task = make_task(policy, f"How old is harbour {many} {number}?")
            RankingTask.objects.filter(pk=task.pk).update(overlap=2)
        for _ in range(many // 5):
            task_queue.submit(take_task(other).pk, other, in_order(Assignment.objects.get(annotator=other).task))
        page = client.get("/rank/", headers={"X-Fragment": "1"})  # takes the task
        with CaptureQueriesContext(connection) as of_next:
            page = client.get("/rank/", headers={"X-Fragment": "1"})
        task = page.context["task"]
        form = {f"place-{pk}": place for pk, place in in_order(task).places}
        with CaptureQueriesContext(connection) as of_submit:
            assert client.post(f"/rank/{task.pk}/submit/", form, headers={"X-Fragment": "1"}).status_code == 200
        counts.append((len(of_next), len(of_submit)))
    assert counts[0] == counts[1]
