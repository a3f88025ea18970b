"""PPO on a tiny random model and scorers whose optimum is known."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rlhf.training.artefacts.resume import CheckpointMismatch
from rlhf.training.hyperparameters import BadHyperparameter
from rlhf.training.model.sampler import Rollout
from rlhf.training.model.transformer import Transformer
from rlhf.training.ppo.brake import KlBrake
from rlhf.training.ppo.config import PpoConfig
from rlhf.training.ppo.update import TrainingDiverged, clipped_loss
from rlhf.training.rollouts.mismatch import importance_weights
from tests.rlhf.training.core_tiny import tiny_llama
from tests.rlhf.training.ppo.one_token import CONFIG, BreaksAfter, paid_share, train, weights


class CallsOneTokenAViolation:
    def score(self, rollout: Rollout, trunk_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros(len(rollout)), paid_share(rollout)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Transformer:
    return tiny_llama(tmp_path_factory.mktemp("llama"))


def test_the_first_update_has_ratio_one_and_no_kl(model: Transformer, tmp_path: Path) -> None:
    first, second, _ = train(model, tmp_path, config=replace(CONFIG, minibatch_rows=8)).metrics
    assert first["objective/kl"] == pytest.approx(0, abs=1e-6)
    assert first["val/first_ratio_gap"] <= 1e-3
    assert second["val/first_ratio_gap"] <= 1e-3
    assert second["objective/kl"] != 0


def test_the_first_ratio_is_one_in_bf16_too_where_sampler_and_scorer_differ(tmp_path: Path) -> None:
    model = tiny_llama(tmp_path / "base", dtype=torch.bfloat16)
    first, *later = train(model, tmp_path / "run", config=replace(CONFIG, minibatch_rows=5)).metrics
    assert first["val/first_ratio_gap"] <= 1e-3
    for metrics in later:  # with an adapter, which the sampler merges and the scorer does not
        assert metrics["val/first_ratio_gap"] <= 1e-3
        assert 1e-4 < metrics["sampler/nats"] < 0.3
        assert metrics["sampler/weight"] == pytest.approx(1, abs=0.1)


def test_in_fp32_sampler_and_scorer_agree(model: Transformer, tmp_path: Path) -> None:
    for metrics in train(model, tmp_path, config=replace(CONFIG, temperature=0.6)).metrics:
        assert metrics["sampler/nats_max"] < 1e-4
        assert metrics["sampler/weight"] == pytest.approx(1, abs=1e-4)


def test_weights_that_hardly_move_keep_every_ratio_at_one_at_any_temperature(
    model: Transformer, tmp_path: Path
) -> None:
    """Of later minibatches and epochs, too, whose log-probs are computed anew."""
    config = replace(CONFIG, temperature=0.6, learning_rate=1e-9, num_ppo_epochs=2, minibatch_rows=8)
    for metrics in train(model, tmp_path, config=config).metrics:
        assert metrics["val/ratio"] == pytest.approx(1, abs=1e-5)
        assert metrics["policy/approxkl_avg"] < 1e-9


def test_the_paid_token_is_found(model: Transformer, tmp_path: Path) -> None:
    config = replace(CONFIG, iterations=25, num_ppo_epochs=2, score_clip=100.0)
    scores = [metrics["objective/scores"] for metrics in train(model, tmp_path, config=config).metrics]
    assert scores[0] < 0.2
    assert scores[-1] > 0.9


def test_a_violation_is_unlearned(model: Transformer, tmp_path: Path) -> None:
    learned = train(model, tmp_path / "a", config=replace(CONFIG, iterations=1)).metrics[0]
    config = replace(CONFIG, iterations=12, violation_weight=10.0)
    metrics = train(model, tmp_path / "b", scorer=CallsOneTokenAViolation(), config=config).metrics
    assert metrics[-1]["reward/violation"] < 0.5 * metrics[0]["reward/violation"]
    assert learned["reward/violation"] == 0


def test_a_completion_without_words_costs_the_whole_penalty(model: Transformer, tmp_path: Path) -> None:
    config = replace(CONFIG, iterations=1, short_words=4, short_penalty=2.0)
    spoken = train(model, tmp_path / "a", config=config, count_words=lambda ids: 4).metrics[0]
    silent = train(model, tmp_path / "b", config=config, count_words=lambda ids: 0).metrics[0]
    assert (spoken["reward/short_penalty"], silent["reward/short_penalty"]) == (0.0, 2.0)


def test_a_kl_past_the_stop_ends_the_run_with_the_weights_before(model: Transformer, tmp_path: Path) -> None:
    config = replace(CONFIG, iterations=40, target_kl=0.5, stop_kl=1.0, kl_coef=0.0)
    result = train(model, tmp_path, config=config)
    assert result.stopped_by == "kl"
    assert 0 < result.iterations < 40
    assert all(metrics["objective/kl_smoothed"] <= 1.0 for metrics in result.metrics)
    assert result.metrics[-1]["objective/kl_smoothed"] > 0.5  # it did climb there
    assert result.episodes == 32 * result.iterations


def test_it_is_the_brake_that_says_when_to_stop(
    model: Transformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KlBrake, "is_past", lambda brake, stop: brake.level > 0 and stop == CONFIG.stop_kl)
    result = train(model, tmp_path)
    assert (result.stopped_by, result.iterations) == ("kl", 1)  # the first rollout's KL is 0


def test_beta_rises_above_the_target_and_never_falls_below_its_base(model: Transformer, tmp_path: Path) -> None:
    config = replace(CONFIG, iterations=12, target_kl=1.0, kl_coef=0.02)
    betas = [metrics["objective/beta"] for metrics in train(model, tmp_path, config=config).metrics]
    assert betas[0] == min(betas) == 0.02
    assert max(betas) > 0.02


def test_a_kl_that_heads_past_the_target_brakes_the_very_next_update(model: Transformer, tmp_path: Path) -> None:
    metrics = train(model, tmp_path, config=replace(CONFIG, iterations=12, target_kl=1.0, kl_coef=0.02)).metrics
    ahead = [m["objective/kl_smoothed"] for m in metrics]
    first = next(index for index, m in enumerate(metrics) if m["objective/beta"] > 0.02)
    assert ahead[first] < ahead[first + 1]
    assert ahead[first] < 1.5


@pytest.mark.parametrize("good", [0, 2])
def test_a_score_that_is_no_number_aborts_by_name(model: Transformer, tmp_path: Path, good: int) -> None:
    with pytest.raises(TrainingDiverged, match="score") as caught:
        train(model, tmp_path, scorer=BreaksAfter(good))
    assert caught.value.iteration == max(good - 1, 0)


def test_a_killed_run_resumes_to_exactly_the_same_weights(model: Transformer, tmp_path: Path) -> None:
    config = replace(CONFIG, num_ppo_epochs=2, minibatch_rows=8)
    whole = train(model, tmp_path / "whole", config=config)
    with pytest.raises(TrainingDiverged):  # dies in the second iteration, after the rollout
        train(model, tmp_path / "killed", config=config, scorer=BreaksAfter(2))
    reports: list[tuple[int, int]] = []
    resumed = train(model, tmp_path / "killed", config=config, reports=reports)
    assert reports == [(2, 3), (3, 3)]
    for mine, theirs in zip(weights(resumed), weights(whole), strict=True):
        assert torch.equal(mine, theirs)
    same = {"objective/scores", "loss/policy_avg", "loss/value_avg", "objective/kl", "episode"}
    assert [{name: m[name] for name in same} for m in resumed.metrics] == [
        {name: m[name] for name in same} for m in whole.metrics
    ]


@pytest.mark.parametrize("polls", range(1, 16, 2))
def test_a_cancelled_run_resumes_to_exactly_the_same_weights(model: Transformer, tmp_path: Path, polls: int) -> None:
    config = replace(CONFIG, iterations=2)
    left = [polls]

    def stop_after_some_polls() -> bool:
        left[0] -= 1
        return left[0] < 0

    whole = train(model, tmp_path / "whole", config=config)
    assert train(model, tmp_path / "cut", config=config, should_stop=stop_after_some_polls).stopped_by == "cancelled"
    for mine, theirs in zip(weights(train(model, tmp_path / "cut", config=config)), weights(whole), strict=True):
        assert torch.equal(mine, theirs)


def test_a_finished_run_is_not_trained_again(model: Transformer, tmp_path: Path) -> None:
    first = train(model, tmp_path)
    reports: list[tuple[int, int]] = []
    again = train(model, tmp_path, reports=reports)
    assert reports == []
    assert all(map(torch.equal, weights(first), weights(again)))


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-9] ^= 4
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize("damage", [flip_a_bit, truncate])
@pytest.mark.parametrize(("left", "damaged"), [([2, 3], 1), ([1, 2, 3], 2)])
def test_a_run_whose_checkpoint_was_damaged_ends_with_the_same_weights(
    model: Transformer,
    tmp_path: Path,
    damage: Callable[[Path], None],
    left: list[int],
    damaged: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With the newest damaged it goes on from the one before, with both damaged from the beginning."""
    whole = train(model, tmp_path / "whole")
    with pytest.raises(TrainingDiverged):  # dies in the third iteration
        train(model, tmp_path / "killed", scorer=BreaksAfter(3))
    for folder in sorted((tmp_path / "killed").iterdir())[-damaged:]:
        damage(folder / "state.safetensors")
    reports: list[tuple[int, int]] = []
    resumed = train(model, tmp_path / "killed", reports=reports)
    assert [step for step, _ in reports] == left
    assert all(map(torch.equal, weights(resumed), weights(whole)))
    assert caplog.text.count("damaged and is not used") == damaged


def test_a_checkpoint_of_another_run_is_refused(model: Transformer, tmp_path: Path) -> None:
    train(model, tmp_path, config=replace(CONFIG, iterations=1))
    with pytest.raises(CheckpointMismatch, match="config"):
        train(model, tmp_path)
    with pytest.raises(CheckpointMismatch, match="seed"):
        train(model, tmp_path, config=replace(CONFIG, iterations=1), seed=1)


def test_the_metrics_have_trl_s_names(model: Transformer, tmp_path: Path) -> None:
    metrics = train(model, tmp_path, config=replace(CONFIG, iterations=1)).metrics[0]
    trl = """objective/kl objective/entropy objective/non_score_reward objective/rlhf_reward objective/scores
    policy/approxkl_avg policy/clipfrac_avg policy/entropy_avg loss/policy_avg loss/value_avg val/ratio val/ratio_var
    val/num_eos_tokens lr episode"""
    ours = "sampler/nats sampler/nats_max sampler/weight"
    ours += " reward/violation length/mean eos_rate memory_mb seconds value/explained_variance objective/beta"
    assert set((trl + " " + ours).split()) <= set(metrics)
    assert metrics["episode"] == 32


def test_the_clipped_loss_by_hand() -> None:
    old = torch.zeros(4)
    new = torch.log(torch.tensor([1.5, 0.5, 1.5, 1.1]))
    loss, ratio, clipped = clipped_loss(new, old, torch.tensor([1.0, 1.0, -1.0, 2.0]), torch.ones(4), 0.2)
    assert loss.item() == pytest.approx((-1.2 - 0.5 + 1.5 - 2.2) / 4)
    assert ratio.tolist() == pytest.approx([1.5, 0.5, 1.5, 1.1])
    assert clipped.tolist() == [True, False, False, False]


def test_each_token_s_loss_is_weighted_by_what_the_sampler_was_off() -> None:
    scored, sampled = np.log([0.5, 0.2, 0.3]), np.log([0.25, 0.02, 0.6])
    weights = np.minimum(np.exp(scored - sampled), 2.0)
    assert weights.tolist() == pytest.approx([2.0, 2.0, 0.5])  # the second would be 10
    ours = importance_weights(torch.tensor(scored), torch.tensor(sampled), 2.0)
    assert ours.tolist() == pytest.approx(weights.tolist())
    advantages, old = torch.tensor([1.0, -2.0, 3.0]), torch.zeros(3)
    loss, _, _ = clipped_loss(old, old, advantages, ours.float(), 0.2)
    assert loss.item() == pytest.approx(-(2.0 * 1 + 2.0 * -2 + 0.5 * 3) / 3)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("iterations", 0), ("learning_rate", 0.0), ("lam", 1.5), ("stop_kl", 1.0), ("kl_coef", -1), ("surprise", 1)],
)
def test_a_bad_setting_is_refused_by_name(setting: str, value: float) -> None:
    with pytest.raises(BadHyperparameter, match=setting):
        PpoConfig.read({setting: value})


def test_settings_survive_json() -> None:
    assert PpoConfig.read(CONFIG.as_json()) == CONFIG
