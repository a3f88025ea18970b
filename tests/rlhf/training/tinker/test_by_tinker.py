"""RLOO and GRPO by a server of the Tinker protocol: the reward rises, runs resume, what does not fit is refused."""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from safetensors.torch import load_file

from rlhf.training.hyperparameters import BadHyperparameter
from rlhf.training.model.adapter import AdapterMismatch
from rlhf.training.policy import stage
from rlhf.training.reward import stage as reward_model_stage
from rlhf.training.rollouts.mismatch import AnotherModelSampled
from rlhf.training.run import RunDirectory, Stopped
from rlhf.training.tinker import learning
from rlhf.training.tinker import server as tinker_server
from rlhf.training.tinker.learning import SavedAdapter
from rlhf.training.tinker.server import TinkerAway, TinkerRefused, TinkerServer
from tests.rlhf.training.planted import write_snapshot
from tests.rlhf.training.small_runs import directory
from tests.rlhf.training.tinker.fake_tinker import FakeTinker, serving
from tests.tiny import make_tiny_policy

PLACE = {"device": "cpu", "dtype": "fp32"}
SETTINGS = {
    "steps": 2,
    "prompts_per_step": 2,
    "num_generations": 4,
    "max_tokens": 6,
    "rank": 4,
    "learning_rate": 1e-2,
    "stop_kl": 50.0,
    "calibration_prompts": 4,
}


@pytest.fixture(scope="module")
def made(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a cycle has before the policy's stage."""
    root = tmp_path_factory.mktemp("made")
    snapshot = write_snapshot(root / "s", rankings=8, held_out=2)
    config = {"base": str(tiny), "snapshot": str(snapshot), "output": str(root / "rm"), **PLACE}
    few = {"adapted_layers": 2, "rank": 2, "epochs": 1}
    reward_model_stage.run(directory(root / "a", hyperparameters=few, **config))
    return {"base": str(tiny), "snapshot": str(snapshot), "reward_model": str(root / "rm")}


@pytest.fixture(scope="module")
def running(tiny: Path) -> Iterator[FakeTinker]:
    with serving(tiny) as one:
        yield one


@pytest.fixture
def server(running: FakeTinker, tiny: Path) -> Iterator[FakeTinker]:
    yield running
    running.base, running.refuses, running.key = f"/models/{tiny.name}", "", ""
    running.asked.clear()


def run_of(
    path: Path, made: dict[str, str], server: FakeTinker, algorithm: str = "rloo", **changes: Any
) -> RunDirectory:
    told = {"url": server.url, "patience_s": 0.0}
    settings = SETTINGS | changes
    asked = {"algorithm": algorithm, "output": str(path / "policy"), "tinker": told, "hyperparameters": settings}
    return directory(path, **made, **PLACE, **asked)


def rewards(path: Path) -> list[float]:
    lines = map(json.loads, (path / "metrics.jsonl").read_text().splitlines())
    return [line["values"]["reward"] for line in lines]


@pytest.mark.parametrize("algorithm", ["rloo", "grpo"])
def test_the_adapter_of_the_server_is_published_as_a_policy(
    made: dict[str, str], server: FakeTinker, tmp_path: Path, algorithm: str
) -> None:
    result = stage.run(run_of(tmp_path, made, server, algorithm))
    assert result["trained_by"] == server.url.removeprefix("http://")
    assert (result["steps"], result["episodes"], result["stopped_by"]) == (2, 16, "steps")
    assert result["sampler_kl"] < 1e-4
    published = load_file(tmp_path / "policy" / "adapter" / "adapter_model.safetensors")
    newest = SavedAdapter.read(server.archive(list(server.saved)[-1]))
    assert published.keys() == newest.state.keys()
    assert all(torch.equal(published[name], tensor) for name, tensor in newest.state.items())
    assert "Tinker server" in (tmp_path / "policy" / "README.md").read_text()


def test_the_reward_rises(made: dict[str, str], server: FakeTinker, tmp_path: Path) -> None:
    asked = {"steps": 24, "num_generations": 8, "learning_rate": 5e-3, "missing_eos_penalty": 2.0}
    stage.run(run_of(tmp_path, made, server, **asked))
    found = rewards(tmp_path)
    assert sum(found[-6:]) / 6 > sum(found[:6]) / 6 + 0.5


def test_a_run_goes_on_from_the_checkpoint_on_the_server(
    made: dict[str, str], server: FakeTinker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(tmp_path, made, server)
    monkeypatch.setattr(run, "stop_if_asked", lambda: _stop_at(server, "save_weights"))
    with pytest.raises(Stopped):
        stage.run(run)
    server.asked.clear()
    assert stage.run(run_of(tmp_path, made, server))["steps"] == 2
    assert server.asked.count("optim_step") == 1
    assert "load_weights" in server.asked


def _stop_at(server: FakeTinker, path: str) -> None:
    """Once that was asked for, at the request after it."""
    if path in server.asked[:-1]:
        raise Stopped


def test_past_the_kl_the_weights_before_are_published(
    made: dict[str, str], server: FakeTinker, tmp_path: Path
) -> None:
    result = stage.run(run_of(tmp_path, made, server, learning_rate=0.5, stop_kl=0.5, steps=4))
    assert result["stopped_by"] == "kl"
    assert result["kl_nats"] < 0.5


def test_another_model_under_the_same_name_is_refused_before_anything_is_learnt(
    made: dict[str, str], tiny: Path, tmp_path: Path
) -> None:
    other = make_tiny_policy(tmp_path / tiny.name, seed=9)
    with serving(other) as server, pytest.raises(AnotherModelSampled):
        stage.run(run_of(tmp_path / "run", made, server))
    assert "forward_backward" not in server.asked


def test_a_server_without_the_base_is_refused(made: dict[str, str], server: FakeTinker, tmp_path: Path) -> None:
    server.base = "Qwen/Qwen3-0.6B"
    with pytest.raises(TinkerRefused, match=r"it has no policy, only Qwen/Qwen3-0\.6B"):
        stage.run(run_of(tmp_path, made, server))


def test_what_a_server_fails_at_ends_the_run_with_its_words(
    made: dict[str, str], server: FakeTinker, tmp_path: Path
) -> None:
    server.refuses = "optim_step"
    with pytest.raises(TinkerRefused, match=r"HTTP 500.*broken"):
        stage.run(run_of(tmp_path, made, server))


def test_a_server_that_is_away_is_named(made: dict[str, str], server: FakeTinker, tmp_path: Path) -> None:
    run = run_of(tmp_path, made, server)
    run.config["tinker"]["url"] = "http://127.0.0.1:9"
    with pytest.raises(TinkerAway, match=r"127\.0\.0\.1:9 does not answer .*resume this run"):
        stage.run(run)


def test_a_step_that_may_have_been_taken_is_not_sent_again(
    server: FakeTinker, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While what was asked for is asked for again."""
    client = TinkerServer(server.url, patience_s=5.0)
    monkeypatch.setattr(tinker_server, "FIRST_PAUSE_S", 0.0)
    model = client.create(server.base, 4, 1)
    send, broken = client._client.post, []

    def post(path: str, **what: Any) -> httpx.Response:
        answer = send(path, **what)
        if path not in broken:
            broken.append(path)
            raise httpx.ReadError("reset")
        return answer

    monkeypatch.setattr(client._client, "post", post)
    server.asked.clear()
    with pytest.raises(TinkerAway, match="reset"):
        client.save(model, "a")
    assert server.asked == ["save_weights"]
    assert client.save(model, "b") == f"tinker://{model}/weights/b"
    assert "retrieve_future" in broken
    client.close()


def test_the_key_is_sent(
    made: dict[str, str], server: FakeTinker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.key = "secret"
    with pytest.raises(TinkerRefused, match="HTTP 401"):
        stage.run(run_of(tmp_path / "a", made, server))
    monkeypatch.setenv("CHAMSAE_TINKER_KEY", "secret")
    assert stage.run(run_of(tmp_path / "b", made, server, steps=1))["steps"] == 1


@pytest.mark.parametrize(("name", "value"), [("temperature", 0.7), ("alpha", 16.0)])
def test_what_the_protocol_has_no_word_for_is_refused(
    made: dict[str, str], server: FakeTinker, tmp_path: Path, name: str, value: float
) -> None:
    with pytest.raises(BadHyperparameter, match="Tinker"):
        stage.run(run_of(tmp_path, made, server, **{name: value}))


def test_advantages_by_hand() -> None:
    given = torch.tensor([[1.0, 2.0, 6.0]])
    assert learning.advantages(given, "rloo").tolist() == [[-3.0, -1.5, 4.5]]
    spread = 7.0**0.5
    expected = torch.tensor([[-2.0, -1.0, 3.0]]) / (spread + 1e-4)
    assert torch.allclose(learning.advantages(given, "grpo"), expected)


def test_an_archive_that_is_none_is_refused() -> None:
    with pytest.raises(AdapterMismatch, match="can't be read"):
        SavedAdapter.read(b"no archive")
    empty = io.BytesIO()
    tarfile.open(fileobj=empty, mode="w:gz").close()
    with pytest.raises(AdapterMismatch, match=r"adapter_config\.json"):
        SavedAdapter.read(empty.getvalue())
