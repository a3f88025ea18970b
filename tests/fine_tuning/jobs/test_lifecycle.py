"""The life of a job, with a training process that trains nothing: its events, its bill, its model, its turn."""

import json
import os
import signal
import threading
import time
from decimal import Decimal
from types import SimpleNamespace

import pytest
from django.db import connections
from django.utils.translation import override

from accounts import keys
from base import fsck
from chat import policies
from chat.errors import BudgetHeld, BudgetUsedUp
from chat.models import Policy
from chat.queue import limits
from fine_tuning.data import uploads
from fine_tuning.errors import (
    DiskFull,
    InvalidHyperparameter,
    NoRewardModel,
    NotTrainable,
    OnlyAdapters,
    StillStopping,
    TooExpensive,
    TooManyJobs,
    UnfitLines,
    WrongForm,
    WrongState,
)
from fine_tuning.jobs import job_directory, lifecycle, reservations
from fine_tuning.jobs.lifecycle import Order
from fine_tuning.models import DataFile, FineTune
from metering import budgets
from metering.budgets import Standing
from metering.models import Budget, Price, Usage
from rlhf.models import Run
from rlhf.runs import cycle
from rlhf.runs.supervisor import Supervisor
from tests.chat.tokenizers import STRICT, write_tokenizer
from tests.fine_tuning.model_configs import TINY
from tests.fine_tuning.training_files import jsonl, pairs
from tests.fine_tuning.worker import drive
from tests.rlhf.policy_directories import write_policy

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick")]
State = FineTune.State


@pytest.fixture
def order(person, base):
    """Makes an order of a file with that content."""

    def make(content=None, filename="guide.jsonl", **fields):
        training = uploads.store(person, filename, [(content or pairs()).encode()])
        fields = {"model": "davinci", "policy": base, "hyperparameters": {"n_epochs": 2}, "seed": 7, **fields}
        return Order(person=person, training=training, **fields)

    return make


def told(job):
    return [event.message for event in job.events.filter(kind="message")]


def again(job):
    return FineTune.objects.select_related("run", "policy", "result_file").get(pk=job.pk)


def problems():
    """Of what this app promises, and of the runs; the others' rows are not here."""
    return [problem for problem in fsck.problems() if problem.promise in (4, 6, 8, 9, 10)]


def test_the_events_of_the_lecture_in_its_order_and_each_once(order, no_worker):
    job = lifecycle.create(order(is_legacy=True))
    assert job.state == State.QUEUED
    drive(no_worker)
    job = again(job)
    assert job.state == State.SUCCEEDED, job.error
    tokens = job.tokens * 2
    cost = Decimal(tokens * PRICE) / 10**9
    assert told(job) == [
        f"Created fine-tune: {job.legacy_id}",
        f"Fine-tune costs ${cost:.2f}",
        "Fine-tune enqueued. Queue number: 0",
        "Fine-tune started",
        "Completed epoch 1/2",
        "Completed epoch 2/2",
        f"Uploaded model: {job.fine_tuned_model}",
        f"Uploaded result file: {job.result_file.id}",
        "Fine-tune succeeded",
    ]
    lifecycle.follow(job)
    lifecycle.follow_all()
    assert len(told(job)) == 9
    assert list(job.events.values_list("seq", flat=True)) == list(range(1, job.events.count() + 1))
    assert job.fine_tuned_model.startswith("davinci:ft-personal-20")
    assert problems() == []


def test_the_model_belongs_to_its_maker_and_the_bill_says_what_was_trained(order, no_worker, person, base):
    job = lifecycle.create(order(suffix="island"))
    drive(no_worker)
    job = again(job)
    made = job.policy
    assert (made.owner, made.base, made.label, made.is_live) == (person, base, job.fine_tuned_model, False)
    assert made.label.startswith("ft:davinci:personal:island:")
    lines = (line.split() for line in written(job, "data"))
    trained = 2 * sum(map(len, lines))
    bill = Usage.objects.get()
    assert (bill.kind, bill.user, bill.trained_tokens, bill.priced_as) == ("training", person, trained, "davinci")
    assert bill.cost == trained * PRICE
    assert DataFile.objects.get(purpose="fine-tune-results").path.read_text().startswith("step,elapsed_tokens")


PRICE = 3_000_000
"""Micro-dollars per 1,000 tokens."""


@pytest.fixture(autouse=True)
def _price(db):
    """The first prices are gone after the first test that empties the tables."""
    Price.objects.update_or_create(model="davinci", defaults={"training": PRICE})


KEPT = {}


def written(job, name):
    return KEPT[job.pk][name]


@pytest.fixture(autouse=True)
def _keep_what_is_written(monkeypatch):
    """The lines are removed when a job has ended; a test wants to see them."""
    real = job_directory.prepare

    def prepare(job):
        found = real(job)
        folder = job_directory.path_of(job)
        KEPT[job.pk] = {
            "data": (folder / job_directory.DATA).read_text().splitlines(),
            "held_out": (folder / job_directory.HELD_OUT).read_text().splitlines()
            if (folder / job_directory.HELD_OUT).exists()
            else [],
        }
        return found

    monkeypatch.setattr("fine_tuning.jobs.job_directory.prepare", prepare)


def test_a_tenth_is_held_out_by_the_seed_and_never_trained_on(order, no_worker):
    first, second, other = (lifecycle.create(order(pairs(40), seed=seed)) for seed in (1, 1, 2))
    assert len(written(first, "held_out")) == 4
    assert len(written(first, "data")) == 36
    assert not set(written(first, "held_out")) & set(written(first, "data"))
    assert written(first, "held_out") == written(second, "held_out") != written(other, "held_out")


def test_lines_that_say_the_same_stay_on_one_side(order, no_worker):
    job = lifecycle.create(order(pairs(20) * 2))
    assert len(written(job, "held_out")) == 2
    assert not set(written(job, "held_out")) & set(written(job, "data"))


def test_the_api_of_2023_trains_on_every_line(order, no_worker):
    job = lifecycle.create(order(pairs(40), is_legacy=True))
    assert (len(written(job, "data")), written(job, "held_out")) == (40, [])


def test_with_a_file_to_validate_on_nothing_is_held_out(order, no_worker, person):
    validation = uploads.store(person, "v.jsonl", [jsonl({"prompt": "x", "completion": "y"}).encode()])
    job = lifecycle.create(order(pairs(40), validation=validation))
    assert len(written(job, "data")) == 40
    assert [json.loads(line) for line in written(job, "held_out")] == [{"prompt": "x", "completion": "y"}]


def test_nothing_of_people_s_lines_stays_after_the_end(order, no_worker, settings):
    job = lifecycle.create(order())
    drive(no_worker)
    folder = job_directory.path_of(job)
    assert folder.exists()
    assert [path.name for path in folder.rglob("*") if "Question" in read(path)] == []
    assert "samples" not in json.dumps(Run.objects.get(fine_tune=job).result)
    assert again(job).result["comparison"]["samples"]


def read(path):
    return path.read_text(errors="replace") if path.is_file() else ""


def test_the_file_may_be_deleted_while_its_job_waits(order, no_worker):
    asked = order()
    job = lifecycle.create(asked)
    uploads.remove(asked.training)
    drive(no_worker)
    assert again(job).state == State.SUCCEEDED, again(job).error


def test_one_trains_at_a_time_and_the_queue_number_is_honest(order, no_worker):
    first, second, third = (lifecycle.create(order()) for _ in range(3))
    assert [one for job in (first, second, third) for one in told(job) if "enqueued" in one] == [
        f"Fine-tune enqueued. Queue number: {number}" for number in (0, 1, 2)
    ]
    assert len(no_worker) == 1
    assert (again(second).run, again(third).run) == (None, None)
    lifecycle.cancel(second)
    drive(no_worker)
    assert [again(job).state for job in (first, second, third)] == [State.SUCCEEDED, State.CANCELLED, State.SUCCEEDED]
    runs = [again(job).run for job in (first, third)]
    assert runs[0].ended_at <= runs[1].started_at
    assert problems() == []


def test_a_failure_is_told_in_the_trainer_s_words_and_the_next_has_its_turn(order, no_worker):
    bad, good = lifecycle.create(order(jsonl({"prompt": "fail", "completion": "b"}))), lifecycle.create(order())
    drive(no_worker)
    bad = again(bad)
    assert bad.state == State.FAILED
    assert bad.error == {"code": "training_failed", "message": "diverged: the loss is 1e9", "param": None}
    assert told(bad)[-1] == "Fine-tune failed: diverged: the loss is 1e9"
    assert again(good).state == State.SUCCEEDED
    words = [notice.text for notice in bad.owner.notices.order_by("pk")]
    assert words == [
        "Your fine-tune of davinci on “guide.jsonl” failed. Its page says why.",
        f"Your fine-tune “{again(good).fine_tuned_model}” is ready.",
    ]
    assert bad.owner.notices.last().link == f"/models/{bad.pk}/"
    assert not Usage.objects.filter(ref=f"fine_tune:{bad.id}").exists()


def test_what_failed_may_be_tried_again_from_its_checkpoint(order, no_worker):
    job = lifecycle.create(order(jsonl({"prompt": "fail", "completion": "b"})))
    drive(no_worker)
    assert lifecycle.resume(again(job)).state == State.QUEUED
    drive(no_worker)
    assert again(job).state == State.FAILED
    starts = (job_directory.path_of(job) / "starts").read_text().splitlines()
    assert [int(line.split()[1]) for line in starts] == [0, 1]
    assert len([one for one in told(job) if one.startswith("Fine-tune failed")]) == 2
    assert job.owner.notices.filter(kind="job_failed").count() == 2
    assert len([one for one in told(job) if one == "Fine-tune started"]) == 1
    assert problems() == []


def test_a_trainer_that_is_killed_goes_on_from_its_checkpoint_without_a_repeat(order, no_worker):
    job = lifecycle.create(order(jsonl({"prompt": "crash", "completion": "b"})))
    drive(no_worker)
    job = again(job)
    assert [int(line.split()[1]) for line in (job_directory.path_of(job) / "starts").read_text().splitlines()] == [
        0,
        7,
    ]
    assert job.state == State.SUCCEEDED
    assert len(told(job)) == len(set(told(job))) == 9
    assert problems() == []


class Aside:
    """A worker in a thread."""

    def __init__(self, run):
        self.thread = threading.Thread(target=self.drive, args=(run,))
        self.thread.start()

    def drive(self, run):
        try:
            cycle.drive(run, Supervisor())
        finally:
            connections.close_all()

    def end(self):
        self.thread.join(30)
        assert not self.thread.is_alive()


def wait_for(condition, seconds=20.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def slow():
    return jsonl({"prompt": "slow", "completion": "b"})


def test_paused_it_waits_with_its_checkpoint_and_goes_on_from_there(order, no_worker):
    job = lifecycle.create(order(slow()))
    worker = Aside(no_worker.pop())
    wait_for(lambda: (job_directory.path_of(job) / "checkpoint/step").exists())
    assert lifecycle.pause(again(job)).state == State.PAUSED
    with pytest.raises(StillStopping):
        lifecycle.resume(again(job))
    worker.end()
    assert (again(job).state, again(job).run.state) == (State.PAUSED, Run.State.CANCELLED)
    lifecycle.resume(again(job))
    drive(no_worker)
    job = again(job)
    starts = [int(line.split()[1]) for line in (job_directory.path_of(job) / "starts").read_text().splitlines()]
    assert (job.state, len(starts), starts[1] > 0) == (State.SUCCEEDED, 2, True)
    assert len([one for one in told(job) if one.startswith("Completed")]) == 2
    assert "Fine-tune paused" in told(job)


def test_cancelled_it_is_over_at_once_and_its_trainer_ends(order, no_worker):
    job = lifecycle.create(order(slow()))
    worker = Aside(no_worker.pop())
    wait_for(lambda: (job_directory.path_of(job) / "checkpoint/step").exists())
    assert lifecycle.cancel(again(job)).state == State.CANCELLED
    worker.end()
    job = again(job)
    assert (job.state, job.run.state, told(job)[-1]) == (State.CANCELLED, Run.State.CANCELLED, "Fine-tune cancelled")
    assert not (job_directory.path_of(job) / job_directory.DATA).exists()
    for act in (lifecycle.cancel, lifecycle.pause, lifecycle.resume):
        with pytest.raises(WrongState):
            act(job)
    assert problems() == []


def test_an_admin_who_cancels_the_run_cancels_the_job(order, no_worker, person):
    job = lifecycle.create(order())
    assert cycle.cancel(again(job).run, actor=None)
    assert again(job).state == State.CANCELLED
    assert not again(job).run.is_resumable


def test_a_supervisor_that_dies_after_the_run_s_end_leaves_nothing_undone(order, no_worker, monkeypatch):
    job = lifecycle.create(order())
    with monkeypatch.context() as patch:
        patch.setattr("fine_tuning.jobs.outcome.conclude", die)
        with pytest.raises(Died):
            drive(no_worker)
    assert (again(job).run.state, again(job).state) == (Run.State.SUCCEEDED, State.RUNNING)
    lifecycle.follow_all()
    assert again(job).state == State.SUCCEEDED, again(job).error
    assert len(told(job)) == 9
    assert problems() == []


class Died(BaseException):
    pass


def die(*_):
    raise Died


def test_a_large_file_is_counted_by_the_worker(order, no_worker, monkeypatch):
    monkeypatch.setattr(lifecycle, "AT_ONCE_BYTES", 10)
    job = lifecycle.create(order())
    assert (job.state, told(job)) == (State.VALIDATING, [f"Created fine-tune: {job.id}"])
    lifecycle.follow_all()
    assert again(job).state == State.QUEUED
    drive(no_worker)
    assert again(job).state == State.SUCCEEDED, again(job).error


def test_a_large_file_that_can_not_be_used_fails_its_job_for_good(order, no_worker, monkeypatch):
    monkeypatch.setattr(lifecycle, "AT_ONCE_BYTES", 10)
    job = lifecycle.create(order(jsonl({"prompt": "a", "completion": " "})))
    lifecycle.follow_all()
    job = again(job)
    assert (job.state, job.error["code"], lifecycle.can_resume(job)) == (State.FAILED, "unfit_lines", False)
    with pytest.raises(WrongState):
        lifecycle.resume(job)


def test_lines_that_teach_nothing_are_refused_by_their_numbers(order):
    rows = [
        {"prompt": "a", "completion": "b"},
        {"prompt": "c", "completion": " "},
        {"prompt": "x" * 9000, "completion": "y"},
    ]
    with pytest.raises(UnfitLines) as caught:
        lifecycle.create(order(jsonl(*rows)))
    assert [(problem.line, problem.code) for problem in caught.value.problems] == [(2, "empty"), (3, "over_long")]
    assert not FineTune.objects.exists()
    assert not [path for path in job_directory.Path(job_directory.settings.RUNS_DIR).iterdir()]


def test_lines_whose_turns_the_template_forbids_are_refused_by_their_numbers(order, base):
    write_tokenizer(policies.directory(base), STRICT)
    said = [{"role": role, "content": "x"} for role in ("user", "assistant", "user", "user", "assistant")]
    with pytest.raises(UnfitLines, match=r"line 2: .*Roles must alternate") as caught:
        lifecycle.create(order(jsonl({"messages": said[:2]}, {"messages": said})))
    assert [(problem.line, problem.code) for problem in caught.value.problems] == [(2, "turns_refused")]


def test_a_method_needs_its_form(order):
    with pytest.raises(WrongForm):
        lifecycle.create(order(method="dpo"))
    preference = jsonl({"prompt": "a", "chosen": "b", "rejected": "c"})
    with pytest.raises(WrongForm):
        lifecycle.create(order(preference))


def test_a_spent_budget_stops_a_job_before_it_begins(order, no_worker, person):
    Budget.objects.create(user=person, limit=0, period="total")
    with pytest.raises(BudgetUsedUp):
        lifecycle.create(order())
    assert not FineTune.objects.exists()


def test_what_is_left_of_a_budget_has_to_pay_for_the_whole_job(order, no_worker, person):
    cost = lifecycle.plan_of(lifecycle.create(order())).cost
    budget = Budget.objects.create(user=person, limit=2 * cost, period="total")
    lifecycle.create(order())
    Budget.objects.filter(pk=budget.pk).update(limit=3 * cost - 1)
    with pytest.raises(TooExpensive):
        lifecycle.create(order())
    assert FineTune.objects.count() == 2


def test_jobs_that_wait_are_counted_against_the_budget_until_they_are_billed_or_cancelled(order, no_worker, person):
    first = lifecycle.create(order())
    cost = reservations.cost_of(first)
    budget = Budget.objects.create(user=person, limit=2 * cost, period="total")
    second = lifecycle.create(order())
    with pytest.raises(BudgetHeld, match=f"0 spent and {2 * cost} held of {2 * cost}"):
        lifecycle.create(order())
    with pytest.raises(BudgetHeld):
        limits.check_budget(person.pk)
    lifecycle.pause(second)
    assert budgets.standing(budget) == Standing(budget, spent=0, held=cost)
    third = lifecycle.create(order())
    with pytest.raises(BudgetHeld):
        lifecycle.resume(second)
    lifecycle.cancel(third)
    lifecycle.resume(second)
    drive(no_worker)
    assert {again(job).state for job in (first, second)} == {State.SUCCEEDED}
    billed = sum(Usage.objects.values_list("cost", flat=True))
    assert billed
    assert budgets.standing(budget) == Standing(budget, spent=billed, held=0)


def test_a_key_s_budget_keeps_what_its_own_jobs_will_cost(order, no_worker, person):
    key, other = (keys.make(person, name)[0] for name in ("notebook", "robot"))
    cost = reservations.cost_of(lifecycle.create(order(key=key)))
    budget = Budget.objects.create(key=key, limit=2 * cost - 1, period="total")
    lifecycle.create(order(key=other))
    assert budgets.standing(budget).held == cost
    with pytest.raises(TooExpensive):
        lifecycle.create(order(key=key))


def test_of_two_jobs_at_once_the_budget_pays_for_one(order, no_worker, person):
    asked = [order(), order(), order()]
    cost = reservations.cost_of(lifecycle.create(asked[0]))
    Budget.objects.create(user=person, limit=2 * cost + cost // 2, period="total")
    told = []

    def create(which):
        try:
            told.append(lifecycle.create(which).state)
        except TooExpensive:
            told.append("refused")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=create, args=[which]) for which in asked[1:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == [State.QUEUED, "refused"]


def test_what_is_measured_on_has_the_form_of_what_is_learnt(order, person):
    chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    validation = uploads.store(person, "v.jsonl", [jsonl({"messages": chat}).encode()])
    with pytest.raises(WrongForm) as caught:
        lifecycle.create(order(validation=validation))
    assert caught.value.param == "validation_file"


def test_reinforcement_needs_a_reward_model_over_the_same_policy(order, no_worker, base):
    asked = order(method="reinforcement")
    with pytest.raises(NoRewardModel):
        lifecycle.create(asked)
    judge = Run.objects.create(kind=Run.Kind.REWARD_MODEL, state=Run.State.SUCCEEDED, base_policy=base)
    (judge.path / "reward_model").mkdir(parents=True)
    with pytest.raises(InvalidHyperparameter):
        lifecycle.create(order(method="reinforcement", scope="full"))
    job = lifecycle.create(asked)
    assert told(job)[1].startswith("Fine-tune costs at most $")
    drive(no_worker)
    assert again(job).state == State.SUCCEEDED, again(job).error
    config = json.loads((job_directory.path_of(job) / "config.json").read_text())
    assert config["reward_model"] == str(judge.path / "reward_model")


@pytest.mark.parametrize("scope", ["head", "blocks", "full"])
@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "qwen3"}, "model_type is qwen3"),
        ({"attention_bias": True}, "attention_bias is True"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "rope_type is yarn"),
    ],
)
def test_what_the_training_cannot_train_is_refused_when_it_is_ordered(order, base, no_worker, scope, config, said):
    write_policy(policies.directory(base), config={**TINY, **config})
    with pytest.raises(OnlyAdapters, match=said) as refused:
        lifecycle.create(order(scope=scope))
    assert refused.value.param == "scope"
    with override("ko"), pytest.raises(OnlyAdapters, match="LoRA 어댑터만"):
        lifecycle.create(order(scope=scope))
    assert not FineTune.objects.exists()
    assert lifecycle.create(order(scope="lora")).state == State.QUEUED


def test_one_person_has_so_many_jobs_at_a_time(order, no_worker, monkeypatch):
    monkeypatch.setattr(lifecycle, "MOST_UNFINISHED", 1)
    job = lifecycle.create(order())
    with pytest.raises(TooManyJobs):
        lifecycle.create(order())
    drive(no_worker)
    assert again(job).is_over
    lifecycle.create(order())


def test_deleted_with_its_model_its_results_and_its_lines(order, no_worker, settings, base):
    job = lifecycle.create(order())
    with pytest.raises(WrongState):
        lifecycle.delete(job)
    drive(no_worker)
    job = again(job)
    made = job.policy
    lifecycle.delete(job)
    made.refresh_from_db()
    assert made.retired_at is not None
    assert not (settings.MODELS_DIR / made.directory).exists()
    assert not job_directory.path_of(job).exists()
    assert [file.purpose for file in DataFile.objects.all()] == ["fine-tune"]
    assert Usage.objects.count() == 1
    assert Policy.objects.get(pk=base.pk).retired_at is None
    assert problems() == []


def test_where_old_versions_are_cleared_away_somebody_s_own_stays(order, no_worker, settings, base):
    from rlhf.release import promotion

    made = again_after(order, no_worker).policy
    settings.RLHF_KEEP_VERSIONS = 0
    promotion.retire_old(base, None)
    made.refresh_from_db()
    assert made.retired_at is None
    Policy.objects.filter(pk=made.pk).update(label="")
    promotion.retire_old(base, None)
    made.refresh_from_db()
    assert made.retired_at is not None, "a version of the site's own would have gone"


def again_after(order, no_worker):
    job = lifecycle.create(order())
    drive(no_worker)
    return again(job)


def test_a_process_that_is_killed_with_its_trainer_is_taken_over(order, no_worker, settings):
    """The trainer and the supervisor die together, as in a crash of the machine; the reaper finds the run."""
    from datetime import timedelta

    from rlhf import tasks
    from rlhf.runs import leases, supervisor

    settings.RLHF_LEASE = timedelta(milliseconds=200)
    job = lifecycle.create(order(slow()))
    run = Run.objects.get(pk=no_worker.pop())
    owner = leases.new_owner()
    claimed = leases.claim(run.pk, owner)
    from rlhf.runs import stages

    child = supervisor.TrainingProcess("fine_tune", run.path, stages.child_config(claimed, 1))
    Run.objects.filter(pk=run.pk).update(pid=child.pid)
    wait_for(lambda: (job_directory.path_of(job) / "checkpoint/step").exists())
    os.kill(child.pid, signal.SIGKILL)
    child.close()
    child.process.wait()
    time.sleep(0.3)
    assert tasks.reap_runs() == [run.pk]
    settings.RLHF_LEASE = timedelta(seconds=5)
    drive(no_worker)
    assert again(job).state == State.SUCCEEDED, again(job).error
    assert len(told(job)) == len(set(told(job))) == 9
    assert problems() == []


def test_a_full_disk_refuses_a_job_and_says_how_much_is_free_and_needed(order, base, no_worker, monkeypatch):
    """By the bytes of the manifest: what else lies in the folder is not the model's."""
    write_policy(policies.directory(base), config=TINY, weights=bytes(2**20))
    (policies.directory(base) / "stray.tmp").write_bytes(bytes(2**22))
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=2 * 2**20))
    with pytest.raises(DiskFull) as refused:
        lifecycle.create(order())
    assert (refused.value.free_mb, refused.value.needed_mb) == (2, 3)
    assert not FineTune.objects.exists()
    (policies.directory(base) / "model.safetensors").unlink()
    with pytest.raises(NotTrainable):
        lifecycle.create(order())
