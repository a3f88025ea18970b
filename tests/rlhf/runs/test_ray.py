"""Trainings as jobs of a Ray cluster: they are followed, stopped, lost and left behind, and never two at once."""

import json
import os
import signal
import subprocess

import pytest

from rlhf.errors import NotEnoughMemory
from rlhf.models import Run
from rlhf.runs import child_process, launchers, leases, memory, requirements
from rlhf.runs.child_process import CHECKPOINTED
from rlhf.runs.requirements import Wish
from rlhf.runs.supervisor import Supervisor
from rlhf.training import ray_job
from rlhf.training.watched import Watch
from tests.rlhf.runs import fake_ray
from tests.rlhf.runs.trainings import behave, driven_aside, has_begun, is_gone, starts, train, wait_for


@pytest.fixture
def ray(settings, home, tmp_path, monkeypatch):
    folder = tmp_path / "ray"
    folder.mkdir()
    monkeypatch.setattr("rlhf.runs.supervisor.GRACE_S", 20.0)
    with fake_ray.serve(folder) as (ray, address):
        settings.RLHF_LAUNCHER, settings.RLHF_RAY_ADDRESS = "ray", address
        yield ray


@pytest.fixture
def path(home, settings):
    return settings.RUNS_DIR / "7"


def test_a_job_is_followed_to_its_result_with_its_log(ray, path):
    process = train(path)
    assert process.result()["accuracy"] == 0.66
    assert [metric["step"] for metric in process.new_metrics()] == [1, 2, 3]
    log = (path / "log.txt").read_text()
    assert [log.count(f"step {step}\n") for step in (1, 2, 3)] == [1, 1, 1]
    (request,) = ray.requests.values()
    assert request["submission_id"].startswith("chamsae-7-")
    assert (request["entrypoint_num_cpus"], request["entrypoint_num_gpus"]) == (1, 0)
    assert request["metadata"] == {"run_directory": str(path)}


def test_a_job_gets_the_cores_and_none_of_the_sites_secrets(ray, path, settings, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "token")
    settings.RLHF_THREADS, settings.RLHF_RAY_GPUS = 4, 0.5
    train(path).result()
    (request,) = ray.requests.values()
    assert (request["entrypoint_num_cpus"], request["entrypoint_num_gpus"]) == (4, 0.5)
    assert set(request["runtime_env"]["env_vars"]) == {
        *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GOMP_SPINCOUNT", "PYTHONUNBUFFERED"),
        "CHAMSAE_LAUNCHED_BY",
    }
    assert ray.headers[0]["Authorization"] == "Bearer token"


def test_a_stop_ends_the_job_with_a_checkpoint(ray, path):
    process = train(path, steps=5000)
    wait_for(has_begun(path))
    assert process.stop_within(30) == CHECKPOINTED
    assert not ray.going()


def test_a_job_that_waits_for_a_machine_is_stopped(ray, path):
    ray.holds = True
    process = train(path)
    wait_for(lambda: ray.requests)
    assert process.stop_within(30) == CHECKPOINTED
    (job,) = ray.requests
    assert ray.stopped == {job}
    ray.stopped.clear()
    ray.start(job)  # though its cluster had not listened
    assert ray.processes[job].wait(30) == CHECKPOINTED
    assert not starts(path)


def test_a_job_ends_with_the_supervisor(ray, path):
    process = train(path, steps=5000)
    wait_for(has_begun(path))
    process.close()
    assert process.process.wait(30) == CHECKPOINTED
    assert not ray.going()


def test_a_job_that_was_left_behind_has_ended_before_the_next_begins(ray, path):
    first = train(path, steps=5000)
    wait_for(has_begun(path))
    first.kill()
    assert len(ray.going()) == 1
    second = train(path, steps=5000)
    wait_for(lambda: len(starts(path)) == 2)
    (old, _), (new, resumed_from) = starts(path)
    assert is_gone(old)
    assert resumed_from > 0
    assert ray.going_before == [[], []]
    assert second.stop_within(30) == CHECKPOINTED
    assert is_gone(new)


def test_a_job_of_which_the_cluster_knows_nothing_any_more_gives_way_to_the_next(ray, path):
    first = train(path, steps=5000)
    wait_for(has_begun(path))
    first.kill()
    ray.forgotten.update(ray.requests)
    second = train(path, steps=5000)
    wait_for(lambda: len(starts(path)) == 2)
    assert is_gone(starts(path)[0][0])
    assert second.stop_within(30) == CHECKPOINTED


def test_a_job_that_nobody_watches_ends(path, settings, monkeypatch):
    from rlhf.training import watched

    monkeypatch.setattr(watched, "UNWATCHED_S", 1.0)
    monkeypatch.setattr(watched.signal, "signal", lambda *_: None)
    path.mkdir()
    config = {"hyperparameters": {"steps": 5000}, "output": str(path / "rm")}
    (path / "config.json").write_text(json.dumps(config))
    Watch("job").write(path)
    assert watched.WatchedProcess("job", [*settings.RLHF_TRAINER, "reward_model", str(path)]).run() == CHECKPOINTED
    assert len(starts(path)) == 1


@pytest.mark.parametrize(("name", "value"), [("is_away", True), ("token", "another than it had")])
def test_a_cluster_that_is_away_for_a_while_costs_nothing(ray, path, name, value):
    process = train(path, steps=150)
    wait_for(has_begun(path))
    before = getattr(ray, name)
    setattr(ray, name, value)
    wait_for((path / "result.json").exists)
    assert process.poll() is None
    setattr(ray, name, before)
    assert process.result()["accuracy"] == 0.66
    assert len(starts(path)) == 1


def test_a_job_of_which_the_answer_was_lost_is_not_sent_again(ray, path):
    ray.lost_answers = 1
    assert train(path).result()["accuracy"] == 0.66
    assert len(ray.requests) == 1


@pytest.fixture
def watch_of(ray, path, settings, monkeypatch):
    """A job that Ray knows, in a cluster that is away for too long."""
    monkeypatch.setattr(ray_job, "AWAY_S", 0.0)
    path.mkdir()
    ray.is_away = True
    return lambda: ray_job.JobWatch(ray_job.RayJobs(settings.RLHF_RAY_ADDRESS), path, "job", ray_job.Stop())


def test_a_result_is_taken_though_the_cluster_stays_away(watch_of, path):
    watch = watch_of()
    (path / "result.json").write_text("{}")
    assert watch.wait() == 0


def test_a_result_of_before_is_not_the_jobs(watch_of, path):
    (path / "result.json").write_text("{}")
    assert watch_of().wait() == CHECKPOINTED
    assert Watch.read(path).stop


def test_a_run_directory_that_cannot_be_written_to_is_tried_again(ray, path):
    (path / "watch.tmp").mkdir(parents=True)
    process = train(path)
    assert process.process.wait(30) == CHECKPOINTED
    process.close()


def test_a_job_that_was_left_waiting_does_not_keep_the_next_from_beginning(ray, path):
    ray.holds = True
    first = train(path)
    wait_for(lambda: ray.requests)
    first.kill()
    ray.holds = False
    assert train(path).result()["accuracy"] == 0.66
    left, _ = ray.requests
    assert ray.stopped == {left}
    ray.stopped.clear()
    ray.start(left)  # though its cluster had not listened
    assert ray.processes[left].wait(30) == CHECKPOINTED
    assert len(starts(path)) == 1


def test_a_job_that_does_not_end_keeps_nobody_from_stopping_the_next(ray, path):
    deaf = subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 1000"], start_new_session=True)
    ray.requests["left"], ray.processes["left"] = {}, deaf
    path.mkdir()
    Watch("left").write(path)
    process = train(path)
    wait_for(lambda: "left behind" in (path / "log.txt").read_text())
    assert process.stop_within(30) == CHECKPOINTED
    assert ray.going() == ["left"]


def test_what_the_cluster_refuses_is_told(ray, path):
    ray.refuses = "no such resource"
    with pytest.raises(child_process.ChildFailed) as error:
        train(path).result()
    assert "ray_refused" in error.value.reason
    assert "no such resource" in error.value.reason


def test_cores_and_memory_of_this_machine_do_not_count(settings, base_policy, monkeypatch):
    settings.RLHF_THREADS = 0
    settings.RLHF_PLACEMENT = {**settings.RLHF_PLACEMENT, "device": "cpu"}
    monkeypatch.setattr(child_process, "usable_cores", lambda: 64)
    monkeypatch.setattr(memory, "find_shortage", lambda *_: memory.MemoryShortage(2, 1))
    with pytest.raises(NotEnoughMemory):
        requirements.refuse(Wish(base_policy))
    settings.RLHF_LAUNCHER = "ray"
    requirements.refuse(Wish(base_policy))
    assert child_process.free_threads() == 1


def test_models_are_fetched_on_this_machine(settings, path):
    settings.RLHF_LAUNCHER = "ray"
    assert launchers.command("fetch", path) == [*settings.RLHF_TRAINER, "fetch", str(path)]


def test_a_job_may_be_several_processes_of_its_machine(settings, path):
    settings.RLHF_LAUNCHER, settings.RLHF_ACCELERATE_CONFIG = "ray", "/etc/accelerate.yaml"
    shared = [*launchers.accelerate_reader(), "policy", str(path)]
    assert launchers.command("policy", path)[-len(shared) :] == shared


@pytest.fixture
def stage(base_policy, ray):
    """A reward model run that waits for a supervisor."""
    from rlhf.snapshots import freezing
    from tests.rlhf import feedback_rows

    feedback_rows.plenty(feedback_rows.annotator("ann"))
    return Run.objects.create(kind=Run.Kind.REWARD_MODEL, snapshot=freezing.freeze(), base_policy=base_policy)


@pytest.mark.django_db(transaction=True)
def test_a_run_whose_machine_is_lost_goes_on_from_its_checkpoint(stage, ray):
    behave(stage, steps=250)
    with driven_aside(stage):
        wait_for(has_begun(stage.path))
        ray.lose(next(iter(ray.requests)))
    assert (stage.state, stage.error) == (Run.State.SUCCEEDED, "")
    (_, first), (_, second) = starts(stage.path)
    assert first == 0 < second
    assert list(stage.metrics.values_list("step", flat=True)) == list(range(1, 251))


@pytest.mark.django_db(transaction=True)
def test_a_process_that_is_killed_on_its_machine_is_started_again(stage):
    behave(stage, steps=250)
    with driven_aside(stage):
        wait_for(has_begun(stage.path))
        os.kill(starts(stage.path)[0][0], signal.SIGKILL)
    assert (stage.state, stage.error) == (Run.State.SUCCEEDED, "")
    assert len(starts(stage.path)) == 2


@pytest.mark.django_db(transaction=True)
def test_a_failure_is_told_in_the_trainings_own_words(stage):
    behave(stage, behaviour="fail")
    assert Supervisor().run_stage(stage.pk).error == "kl_blow_up: KL 31 nats"


@pytest.mark.django_db(transaction=True)
def test_a_cancel_reaches_the_job(stage, ray):
    behave(stage, steps=5000)
    with driven_aside(stage):
        wait_for(has_begun(stage.path))
        leases.cancel(stage)
    assert (stage.state, stage.error) == (Run.State.CANCELLED, "")
    assert not ray.going()
