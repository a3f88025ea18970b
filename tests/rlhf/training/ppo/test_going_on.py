"""PPO that goes on from an adapter: its reference, its KL against PEFT's, its target, and exact resume."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import LlamaForCausalLM

from rlhf.training.artefacts.resume import CheckpointMismatch
from rlhf.training.model.adapter import Adapter
from rlhf.training.model.sampler import Rollout
from rlhf.training.model.transformer import Transformer
from rlhf.training.ppo.config import PpoConfig
from rlhf.training.ppo.state import PpoState
from rlhf.training.ppo.train import PpoResult, train_ppo
from rlhf.training.ppo.update import TrainingDiverged
from tests.rlhf.training.core_tiny import disturb, write_llama
from tests.rlhf.training.ppo.one_token import CONFIG, PROMPTS, BreaksAfter, PaysForOneToken, weights

LIVE = replace(CONFIG, reference="live")


class Remembers(PaysForOneToken):
    """Every rollout, that of the calibration first."""

    def __init__(self) -> None:
        self.seen: list[Rollout] = []

    def score(self, rollout: Rollout, trunk_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.seen.append(rollout)
        return super().score(rollout, trunk_states)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def model(folder: Path) -> Transformer:
    return Transformer.load(folder, dtype=torch.float32, adapted_layers=2)


@pytest.fixture
def start(model: Transformer) -> Adapter:
    adapter = Adapter.create(model, rank=CONFIG.rank, alpha=CONFIG.alpha)
    disturb(adapter)
    return adapter


def go_on(
    model: Transformer, directory: Path, start: Adapter | None, config: PpoConfig = CONFIG, scorer: object = None
) -> PpoResult:
    return train_ppo(
        model,
        PROMPTS,
        scorer or PaysForOneToken(),  # type: ignore[arg-type]
        config,
        seed=0,
        directory=directory,
        report=lambda step, steps, values: None,
        should_stop=lambda: False,
        start=start,
    )


def peft_log_probs(folder: Path, adapter: Path | None, rollout: Rollout) -> torch.Tensor:
    """[N] summed over each completion, by transformers and PEFT."""
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    read = model if adapter is None else PeftModel.from_pretrained(model, adapter)
    with torch.no_grad():
        logs = read(rollout.ids).logits[:, :-1].log_softmax(-1)
    found = logs.gather(-1, rollout.ids[:, 1:, None])[..., 0]
    return torch.where(rollout.completion_mask()[:, 1:], found, 0.0).sum(1)


@pytest.mark.parametrize("config", [CONFIG, LIVE], ids=["anchor", "live"])
def test_both_kls_are_those_of_peft(
    folder: Path, model: Transformer, start: Adapter, tmp_path: Path, config: PpoConfig
) -> None:
    start.save(tmp_path / "live", base=str(folder))
    config, scorer = replace(config, iterations=2, learning_rate=0.05), Remembers()
    one = go_on(model, tmp_path / "one", start, replace(config, iterations=1))
    one.adapter.save(tmp_path / "after", base=str(folder))
    both = go_on(model, tmp_path / "both", start, config, scorer)
    first, second = both.metrics
    from_live = peft_log_probs(folder, tmp_path / "live", scorer.seen[1])
    from_anchor = peft_log_probs(folder, None, scorer.seen[1])
    began = float((from_live - from_anchor).mean())
    assert first["objective/kl_live"] == pytest.approx(0, abs=1e-4)
    assert first["objective/kl_anchor"] == pytest.approx(began, abs=1e-4)
    assert began > 0.5
    after = peft_log_probs(folder, tmp_path / "after", scorer.seen[2])
    moved = float((after - peft_log_probs(folder, tmp_path / "live", scorer.seen[2])).mean())
    far = float((after - peft_log_probs(folder, None, scorer.seen[2])).mean())
    assert second["objective/kl_live"] == pytest.approx(moved, abs=1e-3)
    assert second["objective/kl_anchor"] == pytest.approx(far, abs=1e-3)
    assert second["objective/kl"] == second[f"objective/kl_{config.reference}"]
    assert (both.kl_nats, both.anchor_kl_nats) == (second["objective/kl_live"], second["objective/kl_anchor"])
    calibration = scorer.seen[0]
    there = peft_log_probs(folder, tmp_path / "live", calibration) - peft_log_probs(folder, None, calibration)
    expected = float(there.mean()) if config is not LIVE and config.reference == "anchor" else 0.0
    assert both.start_kl_nats == pytest.approx(expected, abs=1e-4)


def test_training_starts_from_the_adapter_and_leaves_it_as_it_is(
    model: Transformer, start: Adapter, tmp_path: Path
) -> None:
    before = start.digest()
    still = go_on(model, tmp_path, start, replace(CONFIG, learning_rate=1e-9, iterations=1))
    assert start.digest() == before
    for mine, theirs in zip(weights(still), start.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs.detach(), atol=1e-7, rtol=0)


@pytest.mark.parametrize("config", [CONFIG, LIVE], ids=["anchor", "live"])
def test_a_killed_run_resumes_to_exactly_the_same_weights(
    model: Transformer, start: Adapter, tmp_path: Path, config: PpoConfig
) -> None:
    config = replace(config, target_kl=0.01, stop_kl=20.0, kl_growth=0.01, kl_coef=0.05)
    whole = go_on(model, tmp_path / "whole", start, config)
    with pytest.raises(TrainingDiverged):
        go_on(model, tmp_path / "killed", start, config, BreaksAfter(2))
    resumed = go_on(model, tmp_path / "killed", start, config)
    assert all(torch.equal(*pair) for pair in zip(weights(resumed), weights(whole), strict=True))
    same = {"objective/kl_live", "objective/kl_anchor", "objective/kl_target", "objective/beta", "loss/policy_avg"}
    told = [[{name: one[name] for name in same} for one in found.metrics] for found in (resumed, whole)]
    assert told[0] == told[1]
    assert resumed.start_kl_nats == whole.start_kl_nats


def test_a_checkpoint_of_another_start_is_refused(model: Transformer, start: Adapter, tmp_path: Path) -> None:
    go_on(model, tmp_path, start, replace(CONFIG, iterations=1))
    other = start.copy()
    with torch.no_grad():
        other.parameters()[0].flatten()[0] += 1e-3
    for changed in (other, None):
        with pytest.raises(CheckpointMismatch) as error:
            go_on(model, tmp_path, changed, replace(CONFIG, iterations=1))
        assert error.value.key == "start"


def test_a_run_that_begins_far_away_neither_stops_at_once_nor_goes_as_far_again(
    model: Transformer, start: Adapter, tmp_path: Path
) -> None:
    """A small KL is allowed from the base; the start is beyond it."""
    config = replace(
        CONFIG, iterations=40, target_kl=0.3, stop_kl=0.5, kl_coef=0.0, kl_growth=0.2, learning_rate=0.02
    )
    found = go_on(model, tmp_path, start, config)
    assert found.start_kl_nats > 0.5
    assert found.iterations > 0
    assert found.stopped_by == "kl"
    target = found.start_kl_nats + 0.2
    assert {round(one["objective/kl_target"], 6) for one in found.metrics} == {round(target, 6)}
    assert all(one["objective/kl_smoothed"] <= target + 0.2 + 1e-6 for one in found.metrics)


def test_target_and_stop_by_hand(model: Transformer, start: Adapter) -> None:
    config = replace(CONFIG, target_kl=5.5, stop_kl=7.5, kl_growth=1.5, kl_coef=0.05, kl_gain=2.0)
    state = PpoState(model, len(PROMPTS), config, 0, start)
    assert (state.target_kl, state.stop_kl) == (5.5, 7.5)
    state.begin_at(3.0)  # there is room to the setting
    assert (state.target_kl, state.stop_kl, state.brake.level) == (5.5, 7.5, 3.0)
    state.begin_at(9.0)
    assert (state.target_kl, state.stop_kl) == (10.5, 12.5)
    state.brake.level = 12.5  # two nats too far brake as two nats above 5.5 do
    too_far = PpoState(model, len(PROMPTS), config, 0)
    too_far.brake.level = 7.5
    assert state.beta == pytest.approx(too_far.beta)
    assert state.beta > 2 * config.kl_coef
    assert PpoState(model, len(PROMPTS), replace(config, reference="live"), 0, start).reference is start
    assert state.reference is None
