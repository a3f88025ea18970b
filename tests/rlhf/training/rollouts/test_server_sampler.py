"""PPO's completions by servers, against one that samples from a tiny model, and dies and deceives on request."""

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from base import model_server
from rlhf.training.hyperparameters import BadHyperparameter
from rlhf.training.model.adapter import Adapter
from rlhf.training.model.rollout import Rollout
from rlhf.training.model.scoring import score_completions
from rlhf.training.model.transformer import Transformer
from rlhf.training.ppo.train import PpoResult
from rlhf.training.rollouts import servers
from rlhf.training.rollouts.mismatch import AnotherModelSampled
from rlhf.training.rollouts.server_sampler import ServerSampler, of_run
from rlhf.training.rollouts.servers import RolloutRefused, RolloutServersAway, ServersConfig
from rlhf.training.rollouts.source import OwnSampler, RolloutSampling
from tests.chat.engines.fake_vllm import FakeVllm, serving
from tests.rlhf.training.core_tiny import EOS, disturb, write_llama
from tests.rlhf.training.ppo.one_token import CONFIG, PROMPTS, train
from tests.rlhf.training.small_runs import directory

SAMPLING = RolloutSampling(completions_per_prompt=3, max_tokens=6, temperature=0.8)
PREFIX = "rollout-7-"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def model(folder: Path) -> Transformer:
    return Transformer.load(folder, dtype=torch.float32, adapted_layers=2)


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[FakeVllm]:
    """Whatever a test changes about it is undone by `server`."""
    with serving(weights=str(folder)) as (one,):
        yield one


@pytest.fixture
def server(running: FakeVllm, folder: Path) -> Iterator[FakeVllm]:
    yield running
    honest: dict[str, Any] = {"logprob_shift": 0.0, "is_untempered": False, "stamp": "", "base": "base"}
    honest |= {"takes_adapters": True, "max_lora_rank": 16, "failing_loads": 0}
    running.behave(**honest, key="", health=200, weights=str(folder))
    running.clear()


def sampler(
    model: Transformer, *running: FakeVllm, home: Path, patience_s: float = 30.0, key: str = ""
) -> ServerSampler:
    config = ServersConfig([one.url for one in running], "base", PREFIX, str(home), str(home), patience_s)
    return ServerSampler(model, config, key, batch_rows=8)


def adapter_of(model: Transformer, seed: int = 1) -> Adapter:
    adapter = Adapter.create(model, rank=4, alpha=8.0)
    disturb(adapter, seed)
    return adapter


def roll_out(
    source: ServerSampler | OwnSampler,
    adapter: Adapter,
    sampling: RolloutSampling = SAMPLING,
    *,
    seed: int = 3,
    poll: Callable[[], None] = lambda: None,
) -> Rollout:
    return source.roll_out(PROMPTS, adapter, sampling, seed=seed, poll=poll)


def scored(model: Transformer, rollout: Rollout, adapter: Adapter, temperature: float = 0.8) -> torch.Tensor:
    rows = [torch.arange(len(rollout))]
    return score_completions(model, rollout, adapter, rows, temperature=temperature).log_probs


def test_a_rollout_is_as_the_own_sampler_s(model: Transformer, server: FakeVllm, tmp_path: Path) -> None:
    adapter = adapter_of(model)
    theirs = roll_out(sampler(model, server, home=tmp_path / "a"), adapter)
    ours = roll_out(OwnSampler(model, batch_rows=64), adapter)
    assert torch.equal(theirs.prompt_lengths, ours.prompt_lengths)
    assert torch.equal(theirs.prompt_index, ours.prompt_index)
    assert theirs.ids[:, :3].tolist() == [prompt for prompt in PROMPTS for _ in range(3)]
    last = theirs.ids[torch.arange(len(theirs)), theirs.lengths - 1]
    assert torch.equal(theirs.ended, last == EOS)
    assert 0 < int(theirs.ended.sum()) < len(theirs)
    assert set(theirs.completion_lengths[~theirs.ended].tolist()) == {6}
    assert torch.allclose(theirs.completion_log_probs(), scored(model, theirs, adapter), atol=1e-4)
    inside = torch.arange(theirs.ids.shape[1]) < theirs.lengths[:, None]
    assert torch.allclose(theirs.states[inside], model.run_trunk(theirs.ids)[inside], atol=1e-5)
    assert not theirs.states[~inside].any()


def test_the_servers_draw_from_the_distribution_of_the_policy(
    model: Transformer, server: FakeVllm, tmp_path: Path
) -> None:
    adapter, draws = adapter_of(model), 500
    one = RolloutSampling(completions_per_prompt=draws, max_tokens=1, temperature=0.8)
    rollout = roll_out(sampler(model, server, home=tmp_path / "a"), adapter, one)
    drawn = rollout.ids[:, 3].view(len(PROMPTS), draws)
    hidden = model.run_top(model.run_trunk(torch.tensor(PROMPTS)), adapter)[:, -1]
    exact = torch.softmax(model.logits(hidden) / 0.8, -1)
    for tokens, probabilities in zip(drawn, exact, strict=True):
        share = torch.bincount(tokens, minlength=40) / draws
        spread = (probabilities * (1 - probabilities) / draws).sqrt()
        assert bool(((share - probabilities).abs() < 5 * spread + 1e-3).all())


def test_prompts_of_a_seed_are_drawn_alike_and_each_by_its_own(
    model: Transformer, server: FakeVllm, tmp_path: Path
) -> None:
    adapter, source = adapter_of(model), sampler(model, server, home=tmp_path / "a")
    first, again, other = (roll_out(source, adapter, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.ids, again.ids)
    assert first.ids.shape != other.ids.shape or not torch.equal(first.ids, other.ids)
    twice = source.roll_out([PROMPTS[0]] * 2, adapter, SAMPLING, seed=3, poll=lambda: None).completions()
    assert twice[:3] != twice[3:]
    assert twice[1:3] != twice[3:5]  # nor by the seeds that the server counts on to


def test_training_by_a_server_finds_the_paid_token(model: Transformer, server: FakeVllm, tmp_path: Path) -> None:
    config = replace(CONFIG, iterations=12, num_ppo_epochs=2, score_clip=100.0)
    source = sampler(model, server, home=tmp_path / "adapters")
    before = len(server.told())
    metrics = train(model, tmp_path / "run", config=config, source=source).metrics
    scores = [one["objective/scores"] for one in metrics]
    assert scores[0] < 0.2
    assert scores[-1] > 0.4
    assert all(one["sampler/kl_max"] < 1e-6 for one in metrics)
    assert all(one["sampler/capped"] == 0 for one in metrics)
    told = server.told()[before:]
    loaded = [name for route, name in told if route == "load_lora_adapter"]
    assert len(loaded) == len(set(loaded)) == len(metrics)  # the first is that of the calibration, too
    assert [name for route, name in told if route == "unload_lora_adapter"] == loaded[:-1]
    assert server.names() == ["base", loaded[-1]]
    assert [path.name for path in (tmp_path / "adapters").iterdir()] == loaded[-1:]
    source.close()
    assert server.names() == ["base"]
    assert not (tmp_path / "adapters").exists()


@pytest.mark.parametrize(("shift", "weight", "capped"), [(-0.1, 1.1052, 0.0), (-0.25, 1.2, 1.0)])
def test_tokens_of_a_server_that_is_off_are_weighted(
    model: Transformer, server: FakeVllm, tmp_path: Path, shift: float, weight: float, capped: float
) -> None:
    server.behave(logprob_shift=shift)
    config = replace(CONFIG, iterations=1, importance_sampling_cap=1.2, temperature=1.0)
    source = sampler(model, server, home=tmp_path / "adapters")
    (metrics,) = train(model, tmp_path / "run", config=config, source=source).metrics
    assert metrics["sampler/weight"] == pytest.approx(weight, abs=1e-3)
    assert metrics["sampler/capped"] == capped
    assert metrics["sampler/nats"] == pytest.approx(abs(shift), abs=1e-3)


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_another_model_on_the_server_is_refused_before_anything_is_learnt(
    model: Transformer, tmp_path: Path, server: FakeVllm, temperature: float
) -> None:
    server.behave(weights=str(write_llama(tmp_path / "other", seed=5)))
    config = replace(CONFIG, temperature=temperature)
    with pytest.raises(AnotherModelSampled, match="hold the base of this run"):
        train(model, tmp_path / "run", config=config, source=sampler(model, server, home=tmp_path / "a"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("stop_kl", [100.0, 1e-4])
def test_a_server_that_becomes_another_model_is_refused_before_the_next_update_and_any_stop(
    model: Transformer, server: FakeVllm, tmp_path: Path, stop_kl: float
) -> None:
    reports: list[tuple[int, int]] = []
    source = sampler(model, server, home=tmp_path / "a")
    with pytest.raises(AnotherModelSampled):
        train(
            model,
            tmp_path / "run",
            config=replace(CONFIG, target_kl=stop_kl / 2, stop_kl=stop_kl),
            source=source,
            reports=reports,
            then=lambda: server.behave(logprob_shift=-1.0),
        )
    assert reports == [(1, 3)]


class RoundingSampler(OwnSampler):
    """Of this process, with log-probs far from the scorer's."""

    def roll_out(self, *asked: Any, **more: Any) -> Rollout:
        rollout = super().roll_out(*asked, **more)
        return replace(rollout, log_probs=rollout.log_probs - 1.0)


def test_the_own_sampler_is_never_taken_for_another_model(model: Transformer, tmp_path: Path) -> None:
    source = RoundingSampler(model, batch_rows=64)
    (metrics,) = train(model, tmp_path / "run", config=replace(CONFIG, iterations=1), source=source).metrics
    assert metrics["sampler/nats"] == pytest.approx(1.0, abs=1e-3)
    assert metrics["sampler/capped"] == 1.0


def test_log_probs_from_before_the_temperature_are_told_apart(
    model: Transformer, server: FakeVllm, tmp_path: Path
) -> None:
    server.behave(is_untempered=True)
    source, adapter = sampler(model, server, home=tmp_path / "a"), adapter_of(model)
    with pytest.raises(AnotherModelSampled, match="--logprobs-mode processed_logprobs"):
        roll_out(source, adapter)
    roll_out(source, adapter, replace(SAMPLING, temperature=1.0))  # where it makes no difference


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"base": "another"}, "does not have base, only another"),
        ({"takes_adapters": False}, "takes no adapters while it runs"),
        ({"max_lora_rank": 2}, "greater than max_lora_rank 2"),
        ({"stamp": "base"}, "'base' answered in the place of 'rollout-7-"),
    ],
)
def test_what_an_admin_has_to_change_is_said_at_once(
    model: Transformer, server: FakeVllm, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    server.behave(**changes)
    source = sampler(model, server, home=tmp_path / "a", patience_s=3600)
    with pytest.raises(RolloutRefused, match=said) as caught:
        roll_out(source, adapter_of(model))
    assert server.url in str(caught.value)


def test_a_folder_that_the_server_does_not_see_is_named(model: Transformer, server: FakeVllm, tmp_path: Path) -> None:
    config = ServersConfig([server.url], "base", PREFIX, str(tmp_path / "a"), str(tmp_path / "mnt"))
    with pytest.raises(RolloutRefused, match=f"sees no adapter at {tmp_path}/mnt/{PREFIX}"):
        roll_out(ServerSampler(model, config, "", batch_rows=8), adapter_of(model))


def test_adapters_that_a_killed_process_left_are_taken_off_and_those_of_others_stay(
    model: Transformer, server: FakeVllm, tmp_path: Path
) -> None:
    dead, another = (sampler_of(model, server, prefix, tmp_path) for prefix in (PREFIX, "rollout-71-"))
    roll_out(dead, adapter_of(model, 1))
    roll_out(another, adapter_of(model, 2))
    resumed = sampler(model, server, home=tmp_path / PREFIX)
    roll_out(resumed, adapter_of(model, 3))
    assert len(server.names()) == 3
    assert len([name for name in server.names() if name.startswith("rollout-71-")]) == 1
    resumed.close()
    another.close()
    assert server.names() == ["base"]


def test_what_a_killed_process_wrote_in_part_is_written_anew(
    model: Transformer, server: FakeVllm, tmp_path: Path
) -> None:
    adapter, home = adapter_of(model), tmp_path / "a"
    first = roll_out(sampler(model, server, home=home), adapter)
    (written,) = home.iterdir()
    (written / "adapter_config.json").unlink()
    (home / ".nfs-of-a-file-in-use").touch()
    server.clear()
    assert torch.equal(roll_out(sampler(model, server, home=home), adapter).ids, first.ids)
    assert list(home.iterdir()) == [written]


def sampler_of(model: Transformer, server: FakeVllm, prefix: str, home: Path) -> ServerSampler:
    config = ServersConfig([server.url], "base", prefix, str(home / prefix), str(home / prefix))
    return ServerSampler(model, config, "", batch_rows=8)


def test_two_servers_share_a_rollout_and_one_that_dies_leaves_its_part_to_the_other(
    model: Transformer, server: FakeVllm, tmp_path: Path
) -> None:
    adapter = adapter_of(model)
    alone = roll_out(sampler(model, server, home=tmp_path / "a"), adapter)
    with serving(weights=server.behaviour.weights, dies_at=3) as (mortal,):
        source = sampler(model, mortal, server, home=tmp_path / "b")
        both = roll_out(source, adapter)
        assert mortal.process is not None
        assert mortal.process.wait(30) != 0
        later = roll_out(source, adapter, seed=9)
    assert torch.equal(both.ids, alone.ids)  # a prompt's seed is its own, whoever completes it
    assert len(later) == len(alone)
    source.close()


def test_a_server_that_hangs_leaves_its_part_to_the_other(
    model: Transformer, server: FakeVllm, tmp_path: Path, hurried: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "WATCH_EVERY_S", 0.2)
    monkeypatch.setattr(servers, "SILENT_S", 0.5)
    monkeypatch.setattr(model_server, "LOOK_S", 1.0)
    adapter = adapter_of(model)
    alone = roll_out(sampler(model, server, home=tmp_path / "a"), adapter)
    with serving(weights=server.behaviour.weights, hangs_at=2) as (mortal,):
        both = roll_out(sampler(model, mortal, server, home=tmp_path / "b", patience_s=100), adapter)
    assert torch.equal(both.ids, alone.ids)


def test_a_failure_to_load_that_passes_costs_nothing(
    model: Transformer, server: FakeVllm, tmp_path: Path, hurried: None
) -> None:
    server.behave(failing_loads=1)
    adapter = adapter_of(model)
    assert len(roll_out(sampler(model, server, home=tmp_path / "a"), adapter)) == 3 * len(PROMPTS)
    server.behave(failing_loads=10**6)
    with pytest.raises(RolloutServersAway, match="out of memory"):
        roll_out(sampler(model, server, home=tmp_path / "b", patience_s=0.0), adapter_of(model, 2))


def test_a_server_that_comes_back_gets_the_adapter_again(
    model: Transformer, server: FakeVllm, tmp_path: Path
) -> None:
    with serving(weights=server.behaviour.weights, dies_at=4) as (mortal,):
        started = threading.Thread(target=lambda: (mortal.process.wait(60), mortal.start(dies_at=0)))
        started.start()
        rollout = roll_out(sampler(model, mortal, home=tmp_path / "a", patience_s=100), adapter_of(model))
        started.join()
        assert len(rollout) == 3 * len(PROMPTS)
        assert mortal.told()[0][0] == "load_lora_adapter"


def test_a_server_that_lost_the_adapter_between_two_prompts_gets_it_again(
    model: Transformer, server: FakeVllm, tmp_path: Path, hurried: None
) -> None:
    with serving(weights=server.behaviour.weights, forgets_at=4) as (other,):
        rollout = roll_out(sampler(model, other, home=tmp_path / "a"), adapter_of(model))
        assert len(rollout) == 3 * len(PROMPTS)
        assert [route for route, _ in other.told()].count("load_lora_adapter") == 2


def test_the_patience_begins_when_nobody_samples_any_more(
    model: Transformer, server: FakeVllm, tmp_path: Path, hurried: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(monotonic=iter(range(0, 10**6, 1000)).__next__)  # a round is longer than the patience
    monkeypatch.setattr(servers, "time", clock)
    with serving(weights=server.behaviour.weights, forgets_at=1) as (other,):
        rollout = roll_out(sampler(model, other, home=tmp_path / "a", patience_s=600.0), adapter_of(model))
    assert len(rollout) == 3 * len(PROMPTS)


def test_a_server_whose_engine_is_dead_counts_as_away(model: Transformer, server: FakeVllm, tmp_path: Path) -> None:
    server.behave(health=503)
    source = sampler(model, server, home=tmp_path / "a", patience_s=0.0)
    with pytest.raises(RolloutServersAway, match="is not healthy"):
        roll_out(source, adapter_of(model))


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "FIRST_PAUSE_S", 0.05)


def test_a_run_whose_servers_stay_away_fails_with_its_reason_and_goes_on_from_its_checkpoint(
    model: Transformer, server: FakeVllm, tmp_path: Path, hurried: None
) -> None:
    whole = train(model, tmp_path / "whole", source=sampler(model, server, home=tmp_path / "a"))
    asked = 2 * len(PROMPTS) + 3  # in the second iteration, after the calibration and the first
    with serving(weights=server.behaviour.weights, dies_at=asked) as (mortal,):
        source = sampler(model, mortal, home=tmp_path / "b", patience_s=0.2)
        reports: list[tuple[int, int]] = []
        with pytest.raises(RolloutServersAway, match=f"{mortal.url}.*resume this run"):
            train(model, tmp_path / "run", source=source, reports=reports)
        source.close()  # as it does in a run, whether or not they answer
        assert reports == [(1, 3)]
    left: list[tuple[int, int]] = []
    resumed = train(model, tmp_path / "run", source=sampler(model, server, home=tmp_path / "c"), reports=left)
    assert left == [(2, 3), (3, 3)]
    assert_alike(resumed, whole)


def assert_alike(one: PpoResult, other: PpoResult) -> None:
    assert all(torch.equal(a, b) for a, b in zip(one.adapter.parameters(), other.adapter.parameters(), strict=True))


def test_a_cancel_ends_the_wait_for_servers(model: Transformer, tmp_path: Path) -> None:
    nobody = FakeVllm(port=9)
    polls = iter(range(7))
    source = sampler(model, nobody, home=tmp_path / "a", patience_s=3600)
    result = train(model, tmp_path / "run", source=source, should_stop=lambda: next(polls, None) is None)
    assert result.stopped_by == "cancelled"


def test_the_key_is_sent_and_leaves_the_environment(
    model: Transformer, server: FakeVllm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.behave(key="of the servers")
    told = {"urls": [server.url], "base": "base", "prefix": PREFIX, "folder": str(tmp_path / "a")}
    run = directory(tmp_path / "run", rollouts={**told, "seen_at": str(tmp_path / "a"), "patience_s": 0.0})
    with of_run(run, model, batch_rows=8) as keyless, pytest.raises(RolloutRefused, match="CHAMSAE_ROLLOUT_KEY"):
        roll_out(keyless, adapter_of(model))
    monkeypatch.setenv("CHAMSAE_ROLLOUT_KEY", "of the servers")
    with of_run(run, model, batch_rows=8) as source:
        assert len(roll_out(source, adapter_of(model))) == 3 * len(PROMPTS)
        assert "CHAMSAE_ROLLOUT_KEY" not in os.environ
    server.behave(key="")
    assert server.names() == ["base"]


def test_a_run_without_servers_has_none(model: Transformer, tmp_path: Path) -> None:
    with of_run(directory(tmp_path / "run"), model, batch_rows=8) as source:
        assert source is None
    with pytest.raises(BadHyperparameter, match="names no server"):
        ServersConfig.read({"urls": [], "base": "", "prefix": "", "folder": "", "seen_at": ""})
