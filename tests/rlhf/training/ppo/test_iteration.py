"""Whole iterations of PPO against the reference in numpy: log-probs, rewards, values, advantages, loss, KL.

At a temperature other than 1, with a policy that has left its reference, completions that end and others that do
not: each wrong sign, place or temperature moves a number here.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from rlhf.training.model.sampler import Rollout
from rlhf.training.model.transformer import Transformer
from rlhf.training.ppo import loop
from rlhf.training.ppo.config import PpoConfig
from rlhf.training.ppo.train import train_ppo
from rlhf.training.rollouts import source
from tests.rlhf.training.core_tiny import write_llama
from tests.rlhf.training.ppo.reference import Llama, Ridge, advantages, design, returns

PROMPTS = [[1, first, second, 3] for first in (4, 5, 6) for second in (8, 9)] + [[1, 11]]
CONFIG = PpoConfig(
    iterations=3,
    prompts_per_iteration=7,
    completions_per_prompt=3,
    max_tokens=7,
    sample_rows=9,
    temperature=0.6,
    learning_rate=2e-2,
    anneal=False,
    minibatch_rows=21,
    gamma=0.97,
    lam=0.9,
    kl_coef=0.3,
    missing_eos_penalty=0.8,
    violation_weight=1.7,
    score_weight=0.9,
    short_words=5,
    short_penalty=0.6,
    rank=4,
    alpha=8.0,
    calibration_prompts=7,
    target_kl=50.0,
    stop_kl=100.0,
)


class Scores:
    """Scores that differ from row to row, and what they were given for."""

    def __init__(self) -> None:
        self.calls: list[tuple[Rollout, np.ndarray, np.ndarray]] = []

    def score(self, rollout: Rollout, trunk_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        inside = rollout.completion_mask()
        scores = (rollout.ids * inside).sum(1) % 13 / 5.0
        violation = ((rollout.ids % 3 == 0) & inside).sum(1) / 9.0
        self.calls.append((rollout, scores.double().numpy(), violation.double().numpy()))
        return scores, violation


@dataclass
class Seen:
    """What the update of an iteration was given, and the adapter that had sampled."""

    adapter: dict[str, np.ndarray]
    log_probs: np.ndarray
    advantages: np.ndarray
    mask: np.ndarray


def disturbed(rollout: Rollout) -> Rollout:
    """As a sampler that is a little off would tell it, and at every twelfth token so far that its weight is cut."""
    places = torch.arange(rollout.log_probs.numel()).view_as(rollout.log_probs)
    noise = 0.1 * torch.sin(places.float()) - 0.7 * (places % 12 == 0)
    return replace(rollout, log_probs=rollout.log_probs + noise * rollout.completion_mask())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Llama, Scores, list[Seen], list[dict[str, float]]]:
    folder = write_llama(tmp_path_factory.mktemp("llama"))
    scores, seen = Scores(), list[Seen]()
    update, draw = loop.update_policy, source.sample

    def watch(transformer: Any, adapter: Any, optimizer: Any, experience: Any, *rest: Any, **named: Any) -> Any:
        state = {name: tensor.double().numpy() for name, tensor in adapter.state().items()}
        policy, mask = experience.policy.log_probs, experience.mask
        seen.append(Seen(state, policy.double().numpy(), experience.advantages.double().numpy(), mask.numpy()))
        return update(transformer, adapter, optimizer, experience, *rest, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "update_policy", watch)
        patch.setattr(source, "sample", lambda *given, **named: disturbed(draw(*given, **named)))
        result = train_ppo(
            Transformer.load(folder, dtype=torch.float32, adapted_layers=2),
            PROMPTS,
            scores,
            CONFIG,
            seed=5,
            directory=tmp_path_factory.mktemp("run"),
            report=lambda *_: None,
            should_stop=lambda: False,
        )
    assert len(seen) == CONFIG.iterations == len(scores.calls) - 1
    return Llama.read(folder), scores, seen, result.metrics


@dataclass
class Expected:
    """The reference's numbers of one iteration, a list entry a row."""

    log_probs: list[np.ndarray]
    kl: list[np.ndarray]
    advantages: np.ndarray
    """Of all tokens, row after row, whitened."""


class Reference:
    """Follows the run with its rollouts, scores and adapters, and computes the rest by itself."""

    def __init__(self, base: Llama, scores: Scores) -> None:
        self.base = base
        _, calibration, _ = scores.calls[0]
        self.mean, self.spread = calibration.mean(), calibration.std()
        self.value = Ridge(CONFIG.ridge, CONFIG.cliprange_value)
        self.follow(scores.calls[0], base)

    def follow(self, call: tuple[Rollout, np.ndarray, np.ndarray], policy: Llama) -> Expected:
        rollout, scores, violation = call
        rows = [ids[:end] for ids, end in zip(rollout.ids.tolist(), rollout.lengths.tolist(), strict=True)]
        starts = rollout.prompt_lengths.tolist()
        places = list(zip(rows, starts, strict=True))
        log_probs = [policy.log_probs(ids, start, CONFIG.temperature) for ids, start in places]
        kl = [
            mine - self.base.log_probs(ids, start, CONFIG.temperature)
            for mine, (ids, start) in zip(log_probs, places, strict=True)
        ]
        totals = np.array(
            [self._total(ids[start:], scores[i], violation[i]) for i, (ids, start) in enumerate(places)]
        )
        rewards = [-CONFIG.kl_coef * one for one in kl]
        for row, total in zip(rewards, totals, strict=True):
            row[-1] += total
        states = [self.base.hidden(ids)[start - 1 : -1] for ids, start in places]
        known = design(states, totals, rollout.prompt_index.tolist(), CONFIG.max_tokens)
        gained = np.concatenate(
            [
                advantages(mine, self.value.predict(of), CONFIG.gamma, CONFIG.lam)
                for mine, of in zip(rewards, known, strict=True)
            ]
        )
        self.value.fit(np.concatenate(known), np.concatenate([returns(mine, CONFIG.gamma) for mine in rewards]))
        return Expected(log_probs, kl, (gained - gained.mean()) / gained.std())

    def _total(self, completion: list[int], score: float, violation: float) -> float:
        ended = completion[-1] == 2
        words = len(completion) - ended
        normal = np.clip((score - self.mean) / self.spread, -CONFIG.score_clip, CONFIG.score_clip)
        total = CONFIG.score_weight * normal - CONFIG.violation_weight * violation
        total -= CONFIG.short_penalty * max(0, CONFIG.short_words - words) / CONFIG.short_words
        return float(total if ended else total - CONFIG.missing_eos_penalty)


@pytest.fixture(scope="module")
def expected(trained: tuple[Llama, Scores, list[Seen], list[dict[str, float]]]) -> list[Expected]:
    base, scores, seen, _ = trained
    reference = Reference(base, scores)
    return [
        reference.follow(call, base.with_lora(one.adapter, CONFIG.alpha / CONFIG.rank))
        for call, one in zip(scores.calls[1:], seen, strict=True)
    ]


Trained = tuple[Llama, Scores, list[Seen], list[dict[str, float]]]


def test_the_run_visits_what_it_is_to_prove(trained: Trained, expected: list[Expected]) -> None:
    ended = torch.cat([rollout.ended for rollout, _, _ in trained[1].calls[1:]])
    assert 0.1 < ended.float().mean() < 0.95
    assert all(np.abs(np.concatenate(one.kl)).mean() > 0.05 for one in expected[1:])


def test_old_log_probs_are_those_of_the_sampled_tokens_at_the_sampling_temperature(
    trained: Trained, expected: list[Expected]
) -> None:
    for one, seen in zip(expected, trained[2], strict=True):
        assert np.concatenate(one.log_probs) == pytest.approx(seen.log_probs[seen.mask], abs=1e-4)


def test_advantages_are_those_of_the_reference(trained: Trained, expected: list[Expected]) -> None:
    for one, seen in zip(expected, trained[2], strict=True):
        assert one.advantages == pytest.approx(seen.advantages[seen.mask], abs=2e-3)
        assert not seen.advantages[~seen.mask].any()


def test_the_kl_told_is_that_to_the_base(trained: Trained, expected: list[Expected]) -> None:
    for one, metrics in zip(expected, trained[3], strict=True):
        kl = float(np.mean([row.sum() for row in one.kl]))
        assert metrics["objective/kl"] == pytest.approx(kl, abs=1e-3)
        assert metrics["objective/non_score_reward"] == pytest.approx(-CONFIG.kl_coef * kl, abs=1e-3)
    assert abs(trained[3][-1]["objective/kl"]) > 0.1


def test_the_loss_is_weighted_by_scorer_over_sampler_up_to_the_cap(
    trained: Trained, expected: list[Expected]
) -> None:
    """One batch, whose ratios are 1: the loss is the mean of -weight * advantage."""
    for one, (rollout, _, _), metrics in zip(expected, trained[1].calls[1:], trained[3], strict=True):
        sampled = rollout.log_probs[rollout.completion_mask()].double().numpy()
        difference = np.concatenate(one.log_probs) - sampled
        weights = np.minimum(np.exp(difference), CONFIG.importance_sampling_cap)
        assert 0.03 < (weights == CONFIG.importance_sampling_cap).mean() < 0.5
        assert metrics["sampler/nats"] == pytest.approx(np.abs(difference).mean(), abs=1e-4)
        assert metrics["sampler/weight"] == pytest.approx(weights.mean(), abs=1e-4)
        assert metrics["loss/policy_avg"] == pytest.approx(-(weights * one.advantages).mean(), abs=1e-3)


def test_the_value_has_a_part_in_the_advantages(trained: Trained, expected: list[Expected]) -> None:
    """Without its predictions the reference itself comes to other advantages."""
    base, scores, seen, _ = trained
    without = Reference(base, scores)
    without.value.predict = lambda design: np.zeros(len(design))  # type: ignore[method-assign]
    found = without.follow(scores.calls[1], base.with_lora(seen[0].adapter, CONFIG.alpha / CONFIG.rank))
    assert np.abs(found.advantages - expected[0].advantages).max() > 0.1
