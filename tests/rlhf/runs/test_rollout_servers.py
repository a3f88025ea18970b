"""What a training process is told of the servers that sample for it, and what its end leaves on them."""

import json
from pathlib import Path

import httpx
import pytest

from rlhf import tasks
from rlhf.errors import LeaseLost
from rlhf.models import Run
from rlhf.runs import rollout_servers
from rlhf.runs.supervisor import ProcessMonitor, Supervisor
from rlhf.snapshots import freezing
from tests.chat.engines.fake_vllm import FakeVllm, serving
from tests.rlhf import feedback_rows

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def policy_run(base_policy, settings, monkeypatch):
    """Makes a run of a way that waits for a supervisor."""
    monkeypatch.setenv("CHAMSAE_ROLLOUT_KEY", "of the servers")
    settings.RLHF_ROLLOUT_KEY, settings.RLHF_ROLLOUT_ADAPTERS = "of the servers", ""
    feedback_rows.plenty(feedback_rows.annotator("ann"))
    snapshot = freezing.freeze()

    def make(algorithm="ppo", **hyperparameters):
        judge = Run.objects.create(kind=Run.Kind.REWARD_MODEL, snapshot=snapshot, base_policy=base_policy)
        return Run.objects.create(
            kind=Run.Kind.POLICY,
            algorithm=algorithm,
            snapshot=snapshot,
            base_policy=base_policy,
            reward_model=judge,
            config={"hyperparameters": hyperparameters},
        )

    return make


def told(run):
    return json.loads((run.path / "config.json").read_text())


def variables(run):
    """Names of those that its process had."""
    return (run.path / "variables").read_text().splitlines()


@pytest.mark.parametrize(
    ("way", "seen_at", "shown"),
    [("ppo", "", "{folder}"), ("rloo", "", "{folder}"), ("grpo", "/mnt/rollouts/", "/mnt/rollouts")],
)
def test_a_run_that_samples_is_told_of_the_servers_and_no_file_has_their_key(
    policy_run, settings, way, seen_at, shown
):
    settings.RLHF_ROLLOUT_URLS, settings.RLHF_ROLLOUT_ADAPTERS = ["http://127.0.0.1:9/v1"], seen_at
    run = Supervisor().run_stage(policy_run(way).pk)
    assert (run.state, run.error) == (Run.State.SUCCEEDED, "")
    folder = Path(settings.ROLLOUTS_DIR)
    assert told(run)["rollouts"] == {
        "urls": ["http://127.0.0.1:9/v1"],
        "base": "base",
        "prefix": rollout_servers.prefix(run.pk),
        "folder": f"{folder}/run-{run.pk}",
        "seen_at": f"{shown.format(folder=folder)}/run-{run.pk}",
    }
    assert "of the servers" not in (run.path / "config.json").read_text()
    assert "CHAMSAE_ROLLOUT_KEY" in variables(run)


def test_no_other_run_is_told_nor_has_the_key(policy_run, settings):
    settings.RLHF_ROLLOUT_URLS = []
    without = Supervisor().run_stage(policy_run().pk)
    settings.RLHF_ROLLOUT_URLS = ["http://127.0.0.1:9/v1"]
    other_way = Supervisor().run_stage(policy_run("best_of_n").pk)
    for run in (without, other_way):
        assert run.state == Run.State.SUCCEEDED
        assert "rollouts" not in told(run)
        assert "CHAMSAE_ROLLOUT_KEY" not in variables(run)


def test_a_killed_process_leaves_no_adapter_on_the_servers_nor_on_the_disk(policy_run, settings, tmp_path):
    run = policy_run(behaviour="crash")
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter/adapter_config.json").write_text(json.dumps({"r": 4}))
    folder = Path(settings.ROLLOUTS_DIR) / f"run-{run.pk}"
    (folder / "rollout").mkdir(parents=True)
    with serving(2) as servers:
        settings.RLHF_ROLLOUT_URLS = [server.url for server in servers]
        names = [*(f"{rollout_servers.prefix(pk)}left" for pk in (run.pk, 10 * run.pk + 1)), "policy-2"]
        for server in servers:
            load(server, names, tmp_path / "adapter")
        assert Supervisor().run_stage(run.pk).state == Run.State.SUCCEEDED  # after some kills
        assert [server.names() for server in servers] == [["base", *names[1:]]] * 2
    assert not folder.exists()


@pytest.mark.parametrize(("urls", "key"), [(["http://host:port/v1"], ""), (["http://127.0.0.1:9/v1"], "열쇠")])
def test_what_cannot_be_tidied_does_not_cost_the_record_of_the_end(policy_run, settings, urls, key):
    settings.RLHF_ROLLOUT_URLS, settings.RLHF_ROLLOUT_KEY = urls, key
    run = Supervisor().run_stage(policy_run().pk)
    assert (run.state, run.error) == (Run.State.SUCCEEDED, "")


def test_of_a_run_that_another_supervisor_took_over_nothing_is_taken_off(policy_run, settings, tmp_path, monkeypatch):
    run = policy_run()
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter/adapter_config.json").write_text(json.dumps({"r": 4}))
    wait, in_use = ProcessMonitor.wait, f"{rollout_servers.prefix(run.pk)}in-use"

    def wait_and_lose(monitor):
        wait(monitor)
        Run.objects.filter(pk=run.pk).update(owner="another")

    monkeypatch.setattr(ProcessMonitor, "wait", wait_and_lose)
    with serving() as (server,):
        settings.RLHF_ROLLOUT_URLS = [server.url]
        load(server, [in_use], tmp_path / "adapter")
        with pytest.raises(LeaseLost):
            Supervisor().run_stage(run.pk)
        assert server.names() == ["base", in_use]


def test_what_a_run_left_whose_supervisor_died_too_is_taken_away_once_it_is_over(policy_run, settings, tmp_path):
    over, live = (policy_run(), policy_run())
    Run.objects.filter(pk=over.pk).update(state=Run.State.FAILED, error="killed")
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter/adapter_config.json").write_text(json.dumps({"r": 4}))
    folders = {run: Path(settings.ROLLOUTS_DIR) / f"run-{run.pk}" for run in (over, live)}
    for folder in folders.values():
        (folder / "rollout").mkdir(parents=True)
    with serving() as (server,):
        settings.RLHF_ROLLOUT_URLS = [server.url]
        names = {run: f"{rollout_servers.prefix(run.pk)}left" for run in (over, live)}
        load(server, list(names.values()), tmp_path / "adapter")
        tasks.reap_runs()
        assert server.names() == ["base", names[live]]
    assert [folders[over].exists(), folders[live].exists()] == [False, True]


def test_sites_that_share_servers_name_their_adapters_apart(settings):
    ours = rollout_servers.prefix(7)
    assert ours == rollout_servers.prefix(7)
    settings.SECRET_KEY = "that of another site, which is as long as it has to be"
    assert rollout_servers.prefix(7) != ours


def load(server: FakeVllm, names: list[str], path: Path) -> None:
    for name in names:
        body = {"lora_name": name, "lora_path": str(path)}
        httpx.post(f"{server.url}/load_lora_adapter", json=body, trust_env=False).raise_for_status()
