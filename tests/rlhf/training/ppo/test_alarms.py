"""Each alarm fires on a series that shows its sign, and none on a healthy one; the run ends at its best iteration."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlhf.training.model.sampler import Rollout
from rlhf.training.model.transformer import Transformer
from rlhf.training.ppo.alarms import SIGNS, fired, signs_of
from rlhf.training.ppo.config import PpoConfig
from rlhf.training.ppo.train import train_ppo
from rlhf.training.ppo.update import TrainingDiverged
from tests.rlhf.training.core_tiny import tiny_llama
from tests.rlhf.training.ppo.one_token import CONFIG, PROMPTS, BreaksAfter, PaysForOneToken, paid_share, weights

CALM = PpoConfig()
Series = list[dict[str, float]]


def healthy(iterations: int = 18) -> Series:
    """As runs on the real model went: reward and the judge rise, entropy halves, replies end earlier."""
    return [
        {
            "objective/rlhf_reward": -1.5 + 0.12 * at,
            "watch/score": 0.05 * at - (0.2 if at == 9 else 0.0),
            "policy/entropy_avg": 1.2 - 0.03 * at,
            "length/mean": 44.0 - 1.2 * at,
            "loss/value_avg": 0.5 + 0.1 * (at % 3),
        }
        for at in range(iterations)
    ]


def changed(start: int, **change: Callable[[int], float]) -> Series:
    series = healthy()
    names = {"watch": "watch/score", "entropy": "policy/entropy_avg", "length": "length/mean"}
    names |= {"value": "loss/value_avg", "reward": "objective/rlhf_reward"}
    for at in range(start, len(series)):
        series[at] |= {names[name]: make(at) for name, make in change.items()}
    return series


def first_alarm(series: Series) -> tuple[int, str] | None:
    """Finished iterations and name, as the run would see it."""
    for done in range(1, len(series) + 1):
        if name := fired(series[:done], CALM):
            return done, name
    return None


SICK = {
    "watch": changed(8, watch=lambda at: 0.35 - 0.3 * (at - 7)),
    "entropy": changed(8, entropy=lambda at: 0.1),
    "length": changed(8, length=lambda at: 5.0),
    "value": changed(8, value=lambda at: 40.0),
}


def test_none_fires_on_a_healthy_series() -> None:
    assert first_alarm(healthy()) is None


@pytest.mark.parametrize("name", list(SIGNS))
def test_each_fires_by_its_name_after_its_patience_and_no_earlier(name: str) -> None:
    patience = {"watch": 12, "entropy": 11, "length": 11, "value": 11}[
        name
    ]  # the judge's first fall is within bounds
    assert first_alarm(SICK[name]) == (patience, name)


@pytest.mark.parametrize("name", list(SIGNS))
def test_a_sign_that_passes_in_time_ends_nothing(name: str) -> None:
    series = [*SICK[name][:10], *healthy()[10:]]
    assert first_alarm(series) is None


def test_replies_that_grow_and_grow_are_an_alarm_too() -> None:
    assert first_alarm(changed(8, length=lambda at: 120.0)) == (11, "length")


def test_a_judge_that_falls_with_the_reward_is_no_gaming() -> None:
    series = changed(8, watch=lambda at: 0.35 - 0.3 * (at - 7), reward=lambda at: -1.0 - 0.3 * (at - 7))
    assert first_alarm(series) is None


def test_iterations_without_a_measurement_neither_count_nor_interrupt() -> None:
    series = list(SICK["watch"])
    for at in range(1, len(series), 2):
        series[at] = {name: value for name, value in series[at].items() if name != "watch/score"}
    assert first_alarm(series) == (15, "watch")


def test_patience_0_switches_them_off() -> None:
    assert fired(SICK["entropy"], replace(CALM, alarm_patience=0)) is None


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=30))
def test_a_reward_alone_raises_no_alarm(rewards: list[float]) -> None:
    series = [{**healthy(1)[0], "objective/rlhf_reward": reward} for reward in rewards]
    assert fired(series, CALM) is None
    assert signs_of(series, CALM) == set()


class Disagrees:
    """A judge that falls as the paid token spreads."""

    def score(self, rollout: Rollout, trunk_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return -paid_share(rollout), torch.zeros(len(rollout))


GAMED = replace(CONFIG, iterations=30, alarm_patience=2, watch_every=1, alarm_entropy=0.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Transformer:
    return tiny_llama(tmp_path_factory.mktemp("llama"))


def run(model: Transformer, directory: Path, scorer: object = None, watch: object = None, config: PpoConfig = GAMED):
    return train_ppo(
        model, PROMPTS, scorer or PaysForOneToken(), config, seed=0, directory=directory, report=lambda *_: None,
        should_stop=lambda: False, watch=watch or Disagrees(),
    )  # fmt: skip


def test_a_reward_that_rises_while_the_judge_falls_ends_the_run_at_the_best_iteration(
    model: Transformer, tmp_path: Path
) -> None:
    found = run(model, tmp_path / "gamed")
    assert found.stopped_by == "watch"
    assert found.best_iteration is not None
    assert found.best_iteration < found.iterations < GAMED.iterations
    judged = [metrics["watch/score"] for metrics in found.metrics]
    assert judged[found.best_iteration] == max(judged)
    assert found.kl_nats == found.metrics[found.best_iteration]["objective/kl"]
    if found.best_iteration:  # the weights are those that the run had then
        short = run(model, tmp_path / "short", config=replace(GAMED, iterations=found.best_iteration))
        assert all(map(torch.equal, weights(found), weights(short)))


def test_a_judge_that_agrees_ends_nothing(model: Transformer, tmp_path: Path) -> None:
    config = replace(GAMED, iterations=8)
    assert run(model, tmp_path, watch=PaysForOneToken(), config=config).stopped_by == "iterations"


def test_an_ended_run_ends_the_same_when_it_is_asked_again(model: Transformer, tmp_path: Path) -> None:
    first, again = run(model, tmp_path), run(model, tmp_path)
    assert (again.stopped_by, again.best_iteration) == (first.stopped_by, first.best_iteration)
    assert all(map(torch.equal, weights(first), weights(again)))


def test_a_killed_run_ends_at_the_same_best_iteration(model: Transformer, tmp_path: Path) -> None:
    whole = run(model, tmp_path / "whole")
    with pytest.raises(TrainingDiverged):
        run(model, tmp_path / "cut", scorer=BreaksAfter(3))
    resumed = run(model, tmp_path / "cut")
    assert (resumed.stopped_by, resumed.best_iteration) == (whole.stopped_by, whole.best_iteration)
    assert all(map(torch.equal, weights(whole), weights(resumed)))


def test_the_best_iteration_is_one_before_the_trouble_though_the_reward_went_on_rising(
    model: Transformer, tmp_path: Path
) -> None:
    config = replace(GAMED, alarm_entropy=0.8, score_clip=100.0)
    found = train_ppo(
        model, PROMPTS, PaysForOneToken(), config, seed=0, directory=tmp_path, report=lambda *_: None,
        should_stop=lambda: False,
    )  # fmt: skip
    assert found.stopped_by == "entropy"
    assert found.best_iteration is not None
    entropies = [metrics["policy/entropy_avg"] for metrics in found.metrics]
    rewards = [metrics["objective/rlhf_reward"] for metrics in found.metrics]
    assert max(entropies[-2:]) < 0.8 * entropies[0] <= entropies[found.best_iteration]
    assert rewards[found.best_iteration] < max(rewards[-2:])
