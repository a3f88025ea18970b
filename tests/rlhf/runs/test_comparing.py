"""A cycle that waits for people: what they are asked, when it goes on, and on what the gate decides."""

from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from accounts.models import AuditEntry, Notice
from accounts.roles import Role
from chat import policies
from chat.models import Policy
from feedback import trainable
from feedback.errors import TaskError
from feedback.judgements import blind_pairs, corrections, task_queue, task_stock
from feedback.models import BlindPair, ComparisonRound, Ranking, RankingTask
from rlhf import fsck, tasks
from rlhf.errors import ComparisonsNeeded, CycleUnderWay, CycleWaits, JudgeNotApplicable
from rlhf.models import Decision, Evaluation, Promotion, Run
from rlhf.release import promotion
from rlhf.runs import comparing, cycle, leases
from rlhf.runs.supervisor import Supervisor
from tests.feedback.ranking_tasks import make_task, take_task
from tests.people import make_person
from tests.rlhf import feedback_rows
from tests.rlhf.command_calls import call
from tests.rlhf.expired_leases import expire
from tests.rlhf.policy_directories import write_policy
from tests.rlhf.waiting_cycles import answer, evaluated, judgement

HELD_OUT = 6


@pytest.fixture
def judged(base_policy):
    return feedback_rows.plenty(feedback_rows.annotator("ann"), held_out=HELD_OUT)


@pytest.fixture
def people(db):
    return [make_person(name, Role.ANNOTATOR) for name in ("bo", "cy", "di")]


def driven(run):
    return cycle.drive(run.pk, Supervisor())


def go_on():
    """As the site's scheduler and worker do."""
    tasks.reap_runs()
    for run in Run.objects.filter(kind="cycle", state="queued"):
        cycle.drive(run.pk, Supervisor())
    return Run.objects.filter(kind="cycle").first()


def report():
    return Evaluation.objects.get().report


@pytest.fixture
def waiting(judged, settings):
    return driven(evaluated(settings, comparisons=4))


def test_a_whole_cycle_waits_and_is_decided_when_the_last_pair_is_compared(judged, people):
    run = driven(cycle.start(comparisons=3))
    assert (run.state, run.owner, run.lease_until, run.error) == ("waiting", "", None, "")
    assert not (run.stages.get(stage="evaluation").path / comparing.PAIRS).exists()
    assert not Decision.objects.exists()
    assert go_on().state == "waiting"
    for person in people:
        assert answer(person)
    assert all(answer(person) is None for person in people)
    run = go_on()
    assert (run.state, run.error, run.result["promoted"]) == ("succeeded", "", True)
    told = run.result["evaluation"]["people"]
    assert (told["n"], told["people"], told["win_rate"], told["closed"]) == (3, 3, 1.0, "complete")
    assert "people_answers" not in run.result["evaluation"]


def test_pairs_come_before_older_tasks_and_are_no_stock(judged, people, settings, base_policy):
    make_task(base_policy, "What is older than a pair?", replies=2)
    driven(evaluated(settings, comparisons=4))
    assert task_stock.ready(base_policy) == 1
    given = [take_task(person) for person in people]
    assert all(hasattr(task, "blind_pair") for task in given)
    assert len({task.pk for task in given}) == 3


def test_one_person_judges_a_pair_once_and_withdrawing_offers_it_to_others(waiting, people):
    bo, cy, _ = people
    made = answer(bo)
    assert answer(bo).task_id != made.task_id
    corrections.withdraw(made.pk, bo)
    state = blind_pairs.state_of(waiting.comparison_round)
    assert (state.answered, state.pending) == (1, 3)
    mine = [answer(bo) for _ in range(4)]
    assert [ranking is not None for ranking in mine] == [True, True, False, False]
    assert answer(cy).task_id == made.task_id


def test_the_sides_are_drawn_by_lot_and_counted_right(judged, settings, people):
    settings.FEEDBACK_LANGUAGES = ["en"]
    run = driven(evaluated(settings, comparisons=6))
    bo, cy, di = people
    for person, prefers in (
        (bo, "after"),
        (bo, "after"),
        (cy, "before"),
        (cy, "neither"),
        (di, "after"),
        (di, "after"),
    ):
        answer(person, prefers)
    found = blind_pairs.answers(run.comparison_round)
    assert [one.won for one in found] == [1.0, 1.0, 0.0, 0.5, 1.0, 1.0]
    assert {pair.candidate.text.split("-")[0] for pair in BlindPair.objects.all()} == {"after"}
    assert {pair.candidate.index for pair in BlindPair.objects.all()} <= {0, 1}
    go_on()
    assert report()["people"]["win_rate"] == pytest.approx(4.5 / 6)


def test_the_side_cannot_be_told_from_the_order_of_rows(judged, settings):
    """Fair coins: 24 alike have a chance of one in eight million."""
    found = set()
    for _ in range(4):
        run = driven(evaluated(settings, comparisons=6))
        found |= set(BlindPair.objects.filter(round=run.comparison_round).values_list("candidate__index", flat=True))
        cycle.cancel(run, actor=None)
        Run.objects.filter(pk=run.pk).update(kind="policy")
    assert found == {0, 1}


def test_where_people_decide_one_of_them_cannot_judge_all(judged, settings, people):
    driven(evaluated(settings, judge="people", comparisons=6))
    bo, cy, _ = people
    assert [answer(bo) is not None for _ in range(6)] == [True] * 4 + [False] * 2
    assert [answer(cy) is not None for _ in range(3)] == [True, True, False]


def test_the_gate_s_win_rate_is_people_s_where_they_decide(judged, settings, people):
    settings.GATE = {**settings.GATE, "people_comparisons_min": 6}
    run = driven(evaluated(settings, judge="people", comparisons=6))
    for number in range(6):
        answer(people[number % 3], "before")
    run = go_on()
    assert run.result["promoted"] is False
    assert {reason["code"] for reason in run.result["gate"]["reasons"]} == {"win_rate", "people_win_rate"}
    assert report()["win_rate"] == 0.7  # the judge's own figure stays as it was
    told = {reason["code"]: reason for reason in Decision.objects.get().reasons}
    assert told["win_rate"]["estimate"] == told["people_win_rate"]["estimate"] == 0.0


def test_after_the_deadline_the_gate_decides_with_what_there_is(judged, settings, people):
    driven(evaluated(settings, judge="people", comparisons=6))
    answer(people[0])
    ComparisonRound.objects.update(deadline=timezone.now() - timedelta(seconds=1))
    run = go_on()
    assert run.state == "succeeded"
    assert report()["people"]["closed"] == "deadline"
    refused = {reason["code"] for reason in run.result["gate"]["reasons"]}
    assert {"people_comparisons", "people_several"} <= refused
    assert answer(people[1]) is None
    task_stock._retire_forbidden()
    assert not RankingTask.objects.filter(state__in=("open", "leased")).exists()


def test_an_admin_decides_now_and_it_is_in_the_log(waiting, people, admin):
    answer(people[0])
    assert comparing.decide_now(waiting, actor=admin)
    assert not comparing.decide_now(waiting, actor=admin)
    assert go_on().state == "succeeded"
    entry = AuditEntry.objects.get(verb="run.decide")
    assert (entry.actor, entry.after) == (admin, {"answered": 1, "wanted": 4})
    assert report()["people"]["closed"] == "decided"


def test_days_of_waiting_are_no_days_of_work(waiting, people):
    """What a page expects of the next cycle counts what this one worked."""
    long_ago = timezone.now() - timedelta(days=3)
    Run.objects.filter(pk=waiting.pk).update(started_at=long_ago - timedelta(seconds=60))
    ComparisonRound.objects.update(created_at=long_ago)
    comparing.decide_now(waiting, actor=None)
    result = go_on().result
    assert 60 <= result["seconds"] < 600
    assert result["seconds_waited"] >= 3 * 86400


def test_a_rollback_makes_the_comparison_void(waiting, people, settings):
    answer(people[0])
    folder = write_policy(settings.MODELS_DIR / "other", mark="other")
    other = policies.register(folder, name="other", source="test", base=policies.live())
    Policy.objects.update(is_live=False)
    Policy.objects.filter(pk=other.pk).update(is_live=True)
    run = go_on()
    assert [reason["code"] for reason in run.result["gate"]["reasons"]] == ["baseline"]
    assert report()["people"]["closed"] == "void"


def test_no_second_cycle_starts_and_the_refusal_says_what_to_do(waiting, people, settings):
    answer(people[0])
    with pytest.raises(CycleWaits, match="1 of 4") as caught:
        cycle.start()
    assert isinstance(caught.value, CycleUnderWay)
    settings.RLHF_CYCLE_AFTER = 1
    assert tasks.start_due_cycle() is None


def test_the_schedule_asks_for_as_many_as_the_setting_says(judged, settings):
    settings.RLHF_CYCLE_AFTER, settings.RLHF_CYCLE_COMPARISONS = 1, 5
    assert Run.objects.get(pk=tasks.start_due_cycle()).config["comparisons"] == 5


def test_a_cancelled_cycle_asks_nobody_and_a_resumed_one_asks_for_the_rest(waiting, people, admin):
    answer(people[0])
    assert cycle.cancel(waiting, actor=admin)
    waiting.refresh_from_db()
    assert (waiting.state, waiting.comparison_round.closed_because) == ("cancelled", "cancelled")
    assert answer(people[1]) is None
    cycle.resume(waiting, actor=admin)
    assert driven(waiting).state == "waiting"
    assert [answer(people[1]) is not None for _ in range(4)] == [True, True, True, False]
    assert go_on().state == "succeeded"
    assert report()["people"]["n"] == 4


def test_a_cancel_that_comes_while_people_are_being_asked_ends_the_round(judged, settings, monkeypatch):
    run = evaluated(settings, comparisons=2)
    ask = comparing._ask

    def ask_and_cancel(*given):
        made = ask(*given)
        cycle.cancel(Run.objects.get(pk=run.pk), actor=None)
        return made

    monkeypatch.setattr(comparing, "_ask", ask_and_cancel)
    assert driven(run).state == "cancelled"
    assert ComparisonRound.objects.get().closed_because == "cancelled"


def test_an_answer_under_way_at_the_end_is_kept_but_no_longer_counts(waiting, people):
    task = take_task(people[0])
    comparing.decide_now(waiting, actor=None)
    go_on()
    assert task_queue.submit(task.pk, people[0], judgement(task)).pk
    assert report()["people"]["n"] == 0
    assert trainable.rankings().filter(task=task).exists()


def test_the_words_of_somebody_who_leaves_are_not_compared_any_more(waiting, people):
    """Two of four pairs are gone, one of them judged; the gate decides on what is left."""
    made = answer(people[0])
    gone = [made.task, RankingTask.objects.filter(state="open").first()]
    for task in gone:
        Ranking.objects.filter(task=task).delete()
        task.delete()
    for _ in range(2):
        answer(people[0])
    assert go_on().state == "succeeded"
    assert report()["people"]["n"] == 2


def test_answers_of_the_suspended_do_not_count(waiting, people):
    for person in (people[0], people[0], people[1], people[1]):
        answer(person)
    people[0].suspended_until = timezone.now() + timedelta(days=1)
    people[0].save()
    go_on()
    assert (report()["people"]["n"], report()["people"]["people"]) == (2, 1)


def test_annotators_who_asked_for_notices_are_reminded_every_three_days(judged, settings, people):
    people[0].notice_choices = {"tasks_wait": True}
    people[0].save()
    driven(evaluated(settings, comparisons=4))
    assert [notice.person for notice in Notice.objects.all()] == [people[0]]
    assert "4 pairs" in Notice.objects.get().text
    go_on()
    Notice.objects.update(read_at=timezone.now(), about="comparisons:before")
    ComparisonRound.objects.update(reminded_at=timezone.now() - timedelta(days=4))
    go_on()
    assert Notice.objects.count() == 2


# --- who judges -----------------------------------------------------------------------------------


def test_people_judge_only_where_they_are_asked(judged):
    with pytest.raises(ComparisonsNeeded):
        cycle.start(judge="people")


def test_gold_is_refused_where_people_judged(judged):
    with pytest.raises(JudgeNotApplicable, match="26 of 26"):
        cycle.start(judge="gold")
    assert not Run.objects.exists()


@pytest.mark.parametrize(("asked", "kind"), [("auto", "gold"), ("gold", "gold"), ("held_out", "reward_model")])
def test_where_one_program_judged_it_may_judge_the_candidate_or_not(base_policy, asked, kind):
    from feedback.models import SimulatedAnnotator

    robot = feedback_rows.annotator("robot", is_simulated=True)
    gold = {"preference": "feedback.preferences:shorter", "flags": {}}
    SimulatedAnnotator.objects.create(user=robot, noise=0.1, held_out_noise=0.1, tie_margin=0, seed=1, **gold)
    feedback_rows.plenty(robot)
    run = cycle.start(judge=asked)
    assert run.config["judge"]["kind"] == kind
    assert ("judge" in cycle.stages_of(run)) == (kind == "reward_model")


# --- the command ----------------------------------------------------------------------------------


def test_alone_with_programs_the_loop_goes_from_start_to_decision(judged):
    _, first = call("run_cycle", "--comparisons", "5")
    assert first["waiting"]["wanted"] == 5
    _, said = call("simulate_annotators", "--comparisons", "3", "--preference", "shorter", "--noise", "0")
    assert said["comparisons_answered"] == 3
    code, refused = call("run_cycle")
    assert (code, refused["error"]["code"]) == (3, "cycle_waits")
    call("simulate_annotators", "--comparisons", "9", "--preference", "shorter", "--noise", "0", "--seed", "2")
    _, done = call("run_cycle")
    assert done["run"] == first["run"]
    told = done["evaluation"]["people"]
    assert (told["n"], told["people"], told["simulated"]) == (5, 2, 5)
    assert told["win_rate"] == 1.0  # the fake candidate uses fewer words


def test_decide_now_on_the_command_line(judged):
    call("run_cycle", "--comparisons", "5")
    code, done = call("run_cycle", "--decide-now")
    assert (code, done["evaluation"]["people"]["n"]) == (0, 0)
    assert call("run_cycle", "--decide-now") == (3, None)


# --- the life of a waiting run --------------------------------------------------------------------


class Life(RuleBasedStateMachine):
    """People, admins, workers and the clock act in any order; nothing is lost, and there is one decision."""

    settings = None

    def __init__(self):
        super().__init__()
        from django.db import transaction

        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        self.people = [make_person(f"person-{number}", Role.ANNOTATOR) for number in range(3)]
        self.acknowledged, self.withdrawn = set(), set()
        self.run_id = evaluated(self.settings, comparisons=5).pk
        self.decided = None

    def teardown(self):
        from django.db import connection

        try:
            self._comes_to_an_end()
        finally:
            connection.set_rollback(True)
            self.atomic.__exit__(None, None, None)

    def _comes_to_an_end(self):
        for _ in range(8):
            self.resume()
            Run.objects.exclude(lease_until=None).update(lease_until=timezone.now() - timedelta(days=1))
            tasks.reap_runs()
            cycle.drive(self.run_id, Supervisor())
            ComparisonRound.objects.update(deadline=timezone.now() - timedelta(days=1))
        assert (self.run().state, self.run().error) == ("succeeded", "")
        assert Decision.objects.count() == 1

    def run(self):
        return Run.objects.get(pk=self.run_id)

    @rule(who=st.integers(0, 2), prefers=st.sampled_from(["after", "before", "neither"]))
    def compare(self, who, prefers):
        made = answer(self.people[who], prefers)
        if made is not None:
            self.acknowledged.add(made.pk)

    @rule(who=st.integers(0, 2))
    def take(self, who):
        take_task(self.people[who])

    @rule(who=st.integers(0, 2))
    def submit_what_was_taken(self, who):
        task = RankingTask.objects.filter(assignments__annotator=self.people[who]).first()
        if task is not None:
            self.acknowledged.add(task_queue.submit(task.pk, self.people[who], judgement(task)).pk)

    @rule(who=st.integers(0, 2))
    def skip(self, who):
        task = take_task(self.people[who])
        if task is not None:
            task_queue.skip(task.pk, self.people[who], "other")

    @precondition(lambda self: self.acknowledged - self.withdrawn)
    @rule(number=st.integers(0, 9))
    def withdraw(self, number):
        left = sorted(self.acknowledged - self.withdrawn)
        made = Ranking.objects.get(pk=left[number % len(left)])
        try:
            corrections.withdraw(made.pk, made.annotator)
            self.withdrawn.add(made.pk)
        except TaskError:
            pass

    @rule()
    def schedule(self):
        tasks.reap_runs()

    @rule()
    def work(self):
        """Any worker, as after a restart; does nothing where another has the run."""
        cycle.drive(self.run_id, Supervisor())

    @precondition(lambda self: self.run().attempt < leases.MAX_ATTEMPTS - 1)
    @rule()
    def a_worker_dies(self):
        if leases.claim(self.run_id, "doomed") is not None:
            expire(self.run())

    @rule()
    def cancel(self):
        cycle.cancel(self.run(), actor=None)

    @rule()
    def resume(self):
        if self.run().is_resumable:
            cycle.resume(self.run(), actor=None)

    @rule()
    def decide_now(self):
        comparing.decide_now(self.run(), actor=None)

    @rule()
    def the_time_is_up(self):
        ComparisonRound.objects.update(deadline=timezone.now() - timedelta(seconds=1))

    @rule()
    def roll_back(self):
        candidate = Policy.objects.filter(source__startswith="run:").first()
        base = Policy.objects.get(name="base")
        live = policies.live()
        Policy.objects.update(is_live=False)
        Policy.objects.filter(pk=(base if live == candidate else live).pk).update(is_live=True)

    @rule()
    def tidy(self):
        task_stock._retire_forbidden()

    @invariant()
    def one_decision_that_stays(self):
        made = list(Decision.objects.values_list("pk", "passed"))
        assert len(made) <= 1
        if self.decided is not None:
            assert made == self.decided[0]
            assert report()["people"] == self.decided[1]
        if made and self.decided is None:
            self.decided = (made, report()["people"])

    @invariant()
    def nothing_acknowledged_is_lost(self):
        kept = set(Ranking.objects.filter(task__blind_pair__isnull=False).values_list("pk", flat=True))
        assert kept == self.acknowledged

    @invariant()
    def a_waiting_run_holds_nothing(self):
        run = self.run()
        if run.state == "waiting":
            assert (run.owner, run.lease_until, run.pid) == ("", None, None)
        if run.state == "succeeded":
            assert ComparisonRound.objects.get().closed_at is not None
            assert Decision.objects.count() == 1
        assert list(fsck.waiting_runs_are_asked_for()) == []
        assert Promotion.objects.filter(kind="gate").count() <= 1

    @invariant()
    def nobody_judged_a_pair_twice(self):
        judged_by = Ranking.objects.filter(task__blind_pair__isnull=False).values_list("task", "annotator")
        assert len(set(judged_by)) == len(judged_by)


@pytest.mark.timeout(600)
def test_the_life_of_a_waiting_run(judged, settings, no_worker):
    Life.settings = settings
    run_state_machine_as_test(
        Life,
        settings=hypothesis_settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            phases=(Phase.explicit, Phase.reuse, Phase.generate),  # to shrink takes minutes
            suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        ),
    )


# --- people who leave -----------------------------------------------------------------------------


def test_somebody_can_be_forgotten_while_a_cycle_waits_for_people(judged, settings, people):
    """Their words are in the snapshot and in a pair: both go, and the cycle goes on without them."""
    from feedback import personal_data as of_feedback
    from rlhf import personal_data as of_training
    from rlhf.models import Source
    from tests.feedback.conversation_rows import talk

    owner = make_person("owner")
    message = talk(owner, "What do I ask?")[0]
    prompt = Ranking.objects.filter(task__prompt__split="held_out").first().task.prompt
    prompt.source, prompt.message = "conversation", message
    prompt.save()
    run = driven(evaluated(settings, comparisons=HELD_OUT))
    Source.objects.get_or_create(snapshot=run.snapshot, conversation=message.conversation)
    assert blind_pairs.pending(run.comparison_round).count() == HELD_OUT
    for step in (of_training, of_feedback):
        step.forget_conversations([message.conversation_id])
    assert blind_pairs.pending(run.comparison_round).count() == HELD_OUT - 1
    run.snapshot.refresh_from_db()
    assert run.snapshot.erased_at is not None
    while answer(people[0]):
        pass
    run = go_on()
    assert (run.state, report()["people"]["n"]) == ("succeeded", HELD_OUT - 1)


def test_nobody_judges_replies_to_their_own_words(judged, settings, people):
    from tests.feedback.conversation_rows import talk

    for prompt in {ranking.task.prompt for ranking in judged if ranking.task.prompt.split == "held_out"}:
        prompt.source, prompt.message = "conversation", talk(people[0], "What do I ask?")[0]
        prompt.save()
    driven(evaluated(settings, comparisons=2))
    assert answer(people[0]) is None
    assert answer(people[1])


def test_weights_of_a_candidate_that_people_compare_are_not_retired(waiting, settings):
    settings.RLHF_KEEP_VERSIONS = 2
    base, candidate = policies.live(), waiting.comparison_round.candidate
    for number in range(4):
        folder = write_policy(settings.MODELS_DIR / f"later-{number}", mark=f"later-{number}")
        policies.register(folder, name=f"later-{number}", source=f"later-{number}", base=base)
    promotion.retire_old(base, None)
    candidate.refresh_from_db()
    assert candidate.retired_at is None
    assert Policy.objects.exclude(retired_at=None).exists()


def test_fsck_finds_a_wait_that_nobody_could_end(waiting):
    assert list(fsck.waiting_runs_are_asked_for()) == []
    Run.objects.filter(pk=waiting.pk).update(comparison_round=None, owner="somebody")
    assert len(list(fsck.waiting_runs_are_asked_for())) == 2
    Run.objects.filter(pk=waiting.pk).update(
        comparison_round=waiting.comparison_round, state="failed", ended_at=timezone.now() - timedelta(days=1)
    )
    assert [line for line in fsck.waiting_runs_are_asked_for() if "still asked" in line]
