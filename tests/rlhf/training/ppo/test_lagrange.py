"""The Lagrangian: steps by hand, and a toy whose optimum under the constraint is known."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rlhf.training.hyperparameters import BadHyperparameter
from rlhf.training.model.sampler import Rollout
from rlhf.training.model.transformer import Transformer
from rlhf.training.ppo.config import PpoConfig
from rlhf.training.ppo.lagrange import LEAST, MOST, Multipliers
from rlhf.training.ppo.train import PpoResult
from tests.rlhf.training.core_tiny import tiny_llama
from tests.rlhf.training.ppo.one_token import CONFIG, BreaksAfter, paid_share, train, weights

TARGET = 0.3
HELD = replace(
    CONFIG,
    iterations=40,
    completions_per_prompt=8,
    learning_rate=1e-2,
    violation_mode="lagrangian",
    violation_target=TARGET,
    lagrange_start=10.0,
    lagrange_rate=1.0,
    lagrange_damping=6.0,
    kl_coef=0.005,
    score_clip=100.0,
    alarm_patience=0,
)


class PaysForWhatIsForbidden:
    """The paid token is a violation of one group; of the other nothing ever is."""

    groups = ("safety", "style")

    def score(self, rollout: Rollout, trunk_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return paid_share(rollout), paid_share(rollout)

    def score_groups(
        self, rollout: Rollout, trunk_states: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        paid = paid_share(rollout)
        return paid, paid, torch.stack([paid, torch.zeros_like(paid)], 1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Transformer:
    return tiny_llama(tmp_path_factory.mktemp("llama"))


def late(result: PpoResult, name: str) -> float:
    """The mean over the last ten iterations."""
    return sum(metrics[name] for metrics in result.metrics[-10:]) / 10


def test_steps_by_hand() -> None:
    multipliers = Multipliers()
    multipliers.ascend({"a": 0.35, "b": 0.0}, start=2.0, target=0.05, rate=2.0, damping=4.0)
    assert multipliers.of == pytest.approx({"a": 2 * math.exp(0.6), "b": 2 * math.exp(-0.1)})
    assert multipliers.in_use == pytest.approx({"a": 2 * math.exp(1.8), "b": 2 * math.exp(-0.3)})
    multipliers.ascend({"a": 0.05, "b": 0.0}, start=2.0, target=0.05, rate=2.0, damping=4.0)
    assert multipliers.of == pytest.approx({"a": 2 * math.exp(0.6), "b": 2 * math.exp(-0.2)})
    assert multipliers.in_use == pytest.approx({"a": 2 * math.exp(0.6), "b": 2 * math.exp(-0.4)})


def test_a_completion_loses_each_group_s_share() -> None:
    multipliers = Multipliers(in_use={"a": 3.0, "b": 0.5})
    violations = torch.tensor([[1.0, 0.0, 0.0], [0.5, 1.0, 0.25]])
    assert multipliers.cost(["a", "b", "c"], violations, 2.0).tolist() == pytest.approx([3.0, 1.5 + 0.5 + 0.5])


def test_a_target_out_of_reach_does_not_wind_up() -> None:
    multipliers = Multipliers()
    for _ in range(1000):
        multipliers.ascend({"a": 1.0, "b": 0.0}, start=2.0, target=0.05, rate=2.0, damping=4.0)
    assert multipliers.of == multipliers.in_use == {"a": MOST, "b": LEAST}


def test_the_constraint_is_met_and_no_more_is_given_up_than_it_asks_for(model: Transformer, tmp_path: Path) -> None:
    """What is preferred is what is forbidden, so that under the constraint the best share of it is the target."""
    held = train(model, tmp_path / "held", scorer=PaysForWhatIsForbidden(), config=HELD)
    assert late(held, "violation/safety") == pytest.approx(TARGET, abs=0.08)
    assert late(held, "objective/scores") == pytest.approx(TARGET, abs=0.08)
    free = replace(HELD, violation_mode="fixed", violation_weight=0.0)
    assert (
        late(train(model, tmp_path / "free", scorer=PaysForWhatIsForbidden(), config=free), "objective/scores") > 0.8
    )
    weighed = replace(HELD, violation_mode="fixed", violation_weight=100.0)
    assert (
        late(train(model, tmp_path / "w", scorer=PaysForWhatIsForbidden(), config=weighed), "objective/scores") < 0.1
    )


def test_a_group_that_keeps_its_target_costs_ever_less(model: Transformer, tmp_path: Path) -> None:
    config = replace(HELD, iterations=12)
    metrics = train(model, tmp_path, scorer=PaysForWhatIsForbidden(), config=config).metrics
    style = [one["lagrange/style"] for one in metrics]
    assert style == sorted(style, reverse=True)
    assert metrics[-1]["violation/style"] == 0.0


def test_groups_are_told_with_a_fixed_weight_too_and_no_multiplier(model: Transformer, tmp_path: Path) -> None:
    config = replace(HELD, iterations=1, violation_mode="fixed")
    (metrics,) = train(model, tmp_path, scorer=PaysForWhatIsForbidden(), config=config).metrics
    assert metrics["violation/safety"] == pytest.approx(metrics["reward/violation"])
    assert not any(name.startswith("lagrange/") for name in metrics)


def test_a_scorer_that_knows_no_groups_is_refused(model: Transformer, tmp_path: Path) -> None:
    with pytest.raises(BadHyperparameter, match="violation_mode"):
        train(model, tmp_path, config=HELD)
    with pytest.raises(BadHyperparameter, match="violation_mode"):
        PpoConfig.read({"violation_mode": "sometimes"})


class BreaksLater(PaysForWhatIsForbidden):
    def __init__(self, good: int) -> None:
        self.inner = BreaksAfter(good)

    def score_groups(
        self, rollout: Rollout, trunk_states: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        scores, _ = self.inner.score(rollout, trunk_states)
        _, p_violation, by_group = super().score_groups(rollout, trunk_states)
        return scores, p_violation, by_group


def test_a_killed_run_resumes_with_its_multipliers_to_the_same_weights(model: Transformer, tmp_path: Path) -> None:
    config = replace(HELD, iterations=4, kl_controller="integral", target_kl=0.05)
    whole = train(model, tmp_path / "whole", scorer=PaysForWhatIsForbidden(), config=config)
    with pytest.raises(Exception, match="score"):
        train(model, tmp_path / "cut", scorer=BreaksLater(3), config=config)
    resumed = train(model, tmp_path / "cut", scorer=PaysForWhatIsForbidden(), config=config)
    assert all(map(torch.equal, weights(whole), weights(resumed)))
    names = ("lagrange/safety", "objective/beta")
    assert [[one[name] for name in names] for one in whole.metrics] == [
        [one[name] for name in names] for one in resumed.metrics
    ]
