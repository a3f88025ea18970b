"""RLOO and GRPO on completions of a server that samples from a tiny model, and dies and deceives on request."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import trl
from safetensors.torch import load_file

from rlhf.training.policy import served_peers
from rlhf.training.policy import stage as policy_stage
from rlhf.training.policy.served_peers import TrlChanged
from rlhf.training.reward import stage as reward_model_stage
from rlhf.training.rollouts import servers
from rlhf.training.rollouts.completions import ServerCompletion
from rlhf.training.rollouts.mismatch import AnotherModelSampled
from rlhf.training.rollouts.server_sampler import ServerSampler
from rlhf.training.rollouts.servers import RolloutRefused, RolloutServersAway
from rlhf.training.run import RunDirectory, Stopped
from tests.chat.engines.fake_vllm import FakeVllm, serving
from tests.rlhf.training.planted import write_snapshot
from tests.rlhf.training.policy.ways import PEER
from tests.rlhf.training.small_runs import FEW, directory
from tests.tiny import make_tiny_policy

WAYS = ("rloo", "grpo")
TRAINERS = {"rloo": trl.RLOOTrainer, "grpo": trl.GRPOTrainer}
THREE = PEER | {"steps": 3}
by_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture(scope="module")
def made(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("served")
    snapshot = write_snapshot(root / "s", rankings=8, held_out=2)
    told = {"base": str(tiny), "snapshot": str(snapshot), "output": str(root / "rm"), "hyperparameters": FEW}
    reward_model_stage.run(directory(root / "judge", **told))
    return {"snapshot": str(snapshot), "reward_model": str(root / "rm"), "base": str(tiny), "dtype": "fp32"}


@pytest.fixture(scope="module")
def running(tiny: Path) -> Iterator[FakeVllm]:
    """Whatever a test changes about it is undone by `server`."""
    with serving(weights=str(tiny)) as (one,):
        yield one


@pytest.fixture
def server(running: FakeVllm, tiny: Path) -> Iterator[FakeVllm]:
    yield running
    running.behave(logprob_shift=0.0, is_untempered=False, stamp="", base="base", key="", weights=str(tiny))
    running.clear()


def run_of(path: Path, made: dict[str, str], way: str, *asked: FakeVllm, **values: Any) -> RunDirectory:
    """With `asked`, by those servers."""
    adapters, patience = str(path / "adapters"), values.pop("patience_s", 30.0)
    told = {"base": "base", "prefix": "rollout-1-", "folder": adapters, "seen_at": adapters, "patience_s": patience}
    by = {"rollouts": {**told, "urls": [one.url for one in asked]}} if asked else {}
    hyperparameters = THREE | values
    output = str(path / "policy-2")
    return directory(path, **made, **by, algorithm=way, output=output, hyperparameters=hyperparameters)


def metrics(run: RunDirectory) -> list[dict[str, float]]:
    return [json.loads(line)["values"] for line in (run.path / "metrics.jsonl").read_text().splitlines()]


def adapter(run: RunDirectory) -> dict[str, torch.Tensor]:
    return load_file(run.path / "policy-2/adapter/adapter_model.safetensors")


@by_way
def test_a_server_samples_each_step_with_the_adapter_of_the_step(
    made: dict[str, str], server: FakeVllm, tmp_path: Path, way: str
) -> None:
    run, before = run_of(tmp_path, made, way, server), len(server.told())
    result = policy_stage.run(run)
    told = server.told()[before:]
    loaded = [name for route, name in told if route == "load_lora_adapter"]
    assert len(loaded) == len(set(loaded)) == result["steps"] == 3
    assert [name for route, name in told if route == "completions"] == [name for name in loaded for _ in range(2)]
    assert server.names() == ["base"]
    assert not (tmp_path / "adapters").exists()
    assert result["rollout_servers"] == 1
    for values in metrics(run):
        assert values["sampler/kl_max"] < 1e-6
        assert values["sampler/weight"] == pytest.approx(1.0, abs=1e-3)
        assert values["rollout/tokens_per_second"] > 0


@by_way
def test_on_the_same_tokens_the_losses_are_those_of_trl_alone(
    made: dict[str, str], server: FakeVllm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """TRL's own trainer, without any of ours, given the tokens of the server in the place of those it would draw."""
    drawn: list[list[list[int]]] = []
    complete = ServerSampler.complete

    def note(*given: Any, **more: Any) -> list[list[ServerCompletion]]:
        found = complete(*given, **more)
        drawn.append([one.ids for row in found for one in row])
        return found

    monkeypatch.setattr(ServerSampler, "complete", note)
    served = run_of(tmp_path / "served", made, way, server)
    policy_stage.run(served)

    def replay(*_: Any, **__: Any) -> Any:
        ids = drawn.pop(0)
        return ids if way == "rloo" else (ids, None)

    monkeypatch.setattr(TRAINERS[way], "_generate_single_turn", replay)
    own = run_of(tmp_path / "own", made, way)
    result = policy_stage.run(own)
    assert (len(drawn), result["steps"], "rollout_servers" in result) == (0, 3, False)
    for step, (theirs, ours) in enumerate(zip(metrics(own), metrics(served), strict=True)):
        # From the second step on the weights differ by what Adam makes of the gradient's last digits.
        near = 1e-5 if step == 0 else 1e-3
        for name in ("loss", "grad_norm", "objective/kl", "reward", "entropy"):
            assert ours[name] == pytest.approx(theirs[name], rel=near, abs=1e-5), (step, name)
    assert max(abs(values["grad_norm"]) for values in metrics(own)) > 1e-3
    alike = adapter(own)
    # Adam divides by the gradient's size: where that is near 0, its last digit, which processors round differently,
    # may move a weight by up to a step. Such weights are few, and none may be off by more.
    apart = torch.cat([(one - alike[name]).abs().flatten() for name, one in adapter(served).items()])
    assert (apart > 1e-4).float().mean() <= 1e-3
    assert apart.max() < 1e-2


@by_way
@pytest.mark.parametrize(("shift", "weight", "capped"), [(-0.1, 1.1052, 0.0), (-0.25, 1.2, 1.0)])
def test_what_a_token_pulls_is_weighted_by_how_far_the_server_is_off(
    made: dict[str, str], server: FakeVllm, tmp_path: Path, way: str, shift: float, weight: float, capped: float
) -> None:
    """A step from the base: the KL to it has no gradient, so that all of the gradient is the reward's."""
    values = {"steps": 1, "temperature": 1.0, "importance_sampling_cap": 1.2}
    policy_stage.run(exact := run_of(tmp_path / "exact", made, way, server, **values))
    server.behave(logprob_shift=shift)
    policy_stage.run(off := run_of(tmp_path / "off", made, way, server, **values))
    (before,), (after,) = metrics(exact), metrics(off)
    assert after["grad_norm"] == pytest.approx(weight * before["grad_norm"], rel=1e-3)
    assert before["grad_norm"] > 1e-3
    assert after["sampler/weight"] == pytest.approx(weight, abs=1e-3)
    assert after["sampler/nats"] == pytest.approx(abs(shift), abs=1e-3)
    assert after["sampler/capped"] == capped
    assert after["reward"] == pytest.approx(before["reward"])


def test_a_weight_scales_the_gradient_of_its_own_token_and_no_value() -> None:
    values = torch.tensor([[-1.0, -2.0], [-3.0, -0.5]], requires_grad=True)
    weights = torch.tensor([[0.5, 2.0], [1.0, 1.5]])
    found = served_peers.weighted(values, weights)
    assert torch.equal(found, values)
    (3 * found).sum().backward()
    assert torch.equal(values.grad, 3 * weights)


@by_way
def test_another_model_on_the_server_is_refused_before_anything_is_learnt(
    made: dict[str, str], server: FakeVllm, tmp_path: Path, way: str
) -> None:
    torch.manual_seed(7)
    server.behave(weights=str(other_weights(Path(made["base"]), tmp_path / "other")))
    run = run_of(tmp_path / "run", made, way, server)
    with pytest.raises(AnotherModelSampled, match="hold the base of this run"):
        policy_stage.run(run)
    assert not (run.path / "metrics.jsonl").exists()
    assert server.names() == ["base"]


@by_way
def test_a_server_that_becomes_another_model_is_refused_before_the_next_update(
    made: dict[str, str], server: FakeVllm, tmp_path: Path, way: str
) -> None:
    run = run_of(tmp_path, made, way, server)
    after_report(run, lambda: server.behave(logprob_shift=-1.0))
    with pytest.raises(AnotherModelSampled):
        policy_stage.run(run)
    assert len(metrics(run)) == 1


@by_way
def test_log_probs_from_before_the_temperature_are_told_apart(
    made: dict[str, str], server: FakeVllm, tmp_path: Path, way: str
) -> None:
    server.behave(is_untempered=True)
    with pytest.raises(AnotherModelSampled, match="--logprobs-mode processed_logprobs"):
        policy_stage.run(run_of(tmp_path, made, way, server, temperature=0.5))


def test_what_an_admin_has_to_change_is_said_at_once(made: dict[str, str], server: FakeVllm, tmp_path: Path) -> None:
    server.behave(base="another")
    with pytest.raises(RolloutRefused, match="does not have base, only another"):
        policy_stage.run(run_of(tmp_path, made, "rloo", server, patience_s=3600.0))


@by_way
def test_a_run_whose_servers_stay_away_goes_on_from_its_last_step_as_if_nothing_had_been(
    made: dict[str, str], server: FakeVllm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(servers, "FIRST_PAUSE_S", 0.05)
    policy_stage.run(whole := run_of(tmp_path / "whole", made, way, server))
    with serving(weights=made["base"], dies_at=6) as (mortal,):  # two prompts a step: in the third
        run = run_of(tmp_path / "run", made, way, mortal, patience_s=0.2)
        with pytest.raises(RolloutServersAway, match=f"{mortal.url}.*resume this run"):
            policy_stage.run(run)
    assert len(metrics(run)) == 2
    policy_stage.run(resumed := run_of(tmp_path / "run", made, way, server))
    theirs = adapter(whole)
    assert all(torch.equal(one, theirs[name]) for name, one in adapter(resumed).items())
    assert [values["loss"] for values in metrics(resumed)] == [values["loss"] for values in metrics(whole)]


def test_a_cancel_ends_the_wait_for_servers(made: dict[str, str], tmp_path: Path) -> None:
    run = run_of(tmp_path, made, "grpo", FakeVllm(port=9), patience_s=3600.0)
    ask = ServerSampler.complete

    def cancel_while_asked(*given: Any, poll: Callable[[], None], **more: Any) -> Any:
        polls = iter(range(3))

        def stop_soon() -> None:
            if next(polls, None) is None:
                run.stop()
            poll()

        return ask(*given, poll=stop_soon, **more)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ServerSampler, "complete", cancel_while_asked)
        with pytest.raises(Stopped):
            policy_stage.run(run)


def test_the_key_is_sent_and_leaves_the_environment(
    made: dict[str, str], server: FakeVllm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.behave(key="of the servers")
    monkeypatch.setenv("CHAMSAE_ROLLOUT_KEY", "of the servers")
    assert policy_stage.run(run_of(tmp_path, made, "rloo", server, steps=1))["steps"] == 1
    assert "CHAMSAE_ROLLOUT_KEY" not in os.environ


@by_way
def test_the_installed_trl_has_all_that_is_replaced(way: str) -> None:
    served_peers.require_known(TRAINERS[way])


@pytest.mark.parametrize("name", served_peers.REPLACED)
def test_a_trl_that_names_it_otherwise_is_refused_by_name(name: str) -> None:
    def without(one: str) -> type:
        methods = {method: getattr(trl.RLOOTrainer, method) for method in served_peers.REPLACED if method != one}
        return type("RLOOTrainer", (), methods)

    with pytest.raises(TrlChanged, match=f"RLOOTrainer has no {name}. Install trl 1.16"):
        served_peers.kind_of("rloo", without(name))
    renamed = without(name)
    setattr(renamed, name, lambda self, text, table: None)
    with pytest.raises(TrlChanged, match=f"{name} takes text.*, not {served_peers.REPLACED[name][0]}"):
        served_peers.kind_of("rloo", renamed)


def test_rows_that_do_not_repeat_their_prompts_are_refused(made: dict[str, str], tmp_path: Path) -> None:
    sampling = served_peers.RolloutSampling(2, 4, 1.0)
    rollouts = served_peers.ServedRollouts(Any, sampling, 2.0, 1, lambda: None, lambda trained: trained)  # type: ignore[arg-type]
    with pytest.raises(TrlChanged, match="side by side"):
        rollouts.complete(None, [[1], [2], [1], [2]], 0)


@pytest.mark.parametrize("cap", [0, -1.0])
def test_a_cap_that_is_none_is_refused(made: dict[str, str], tmp_path: Path, cap: float) -> None:
    with pytest.raises(Exception, match="importance_sampling_cap"):
        policy_stage.run(run_of(tmp_path, made, "grpo", importance_sampling_cap=cap))


def after_report(run: RunDirectory, then: Callable[[], None]) -> None:
    report = run.report

    def report_and(*given: Any) -> None:
        report(*given)
        then()

    run.report = report_and  # type: ignore[method-assign]


def other_weights(base: Path, folder: Path) -> Path:
    """The same files with weights drawn anew."""
    return make_tiny_policy(folder, seed=5)
