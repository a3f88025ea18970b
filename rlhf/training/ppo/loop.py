"""One PPO iteration: roll out, score, shape rewards, update the policy, refit the value, return metrics."""

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf.training.model.adapter import Adapter
from rlhf.training.model.sampler import Rollout, sample
from rlhf.training.model.scoring import Scored, completion_mask, score_completions
from rlhf.training.model.transformer import Transformer
from rlhf.training.ppo.config import PpoConfig
from rlhf.training.ppo.gae import advantages_and_returns, rewards_to_go, whiten
from rlhf.training.ppo.shaping import Scorer, ScoreScale, ShapedReward, shape, token_rewards
from rlhf.training.ppo.state import PpoState
from rlhf.training.ppo.update import Experience, importance_weights, require_finite, update_policy
from rlhf.training.ppo.value import context_of, explained_variance


class Cancelled(Exception):
    """The caller asked to stop in the middle of an iteration."""


@dataclass(frozen=True)
class ScoredRollout:
    """A rollout with scores, and log-probs under policy and base. N completions, C columns, M tokens in all."""

    rollout: Rollout
    scores: Tensor  # [N]
    p_violation: Tensor  # [N]
    policy: Scored
    base: Scored
    mask: Tensor  # [N, C]
    kl: Tensor  # [N, C] log p - log p_ref of the tokens sampled

    @property
    def sampled(self) -> Tensor:
        """[N, C] the sampler's own log-probs of its tokens."""
        log_probs = torch.zeros_like(self.policy.log_probs)
        log_probs[self.mask] = self.rollout.log_probs[self.rollout.completion_mask()].to(log_probs.dtype)
        return log_probs

    @property
    def kl_nats(self) -> float:
        """The mean over completions of their summed KL estimate (k1)."""
        return float(self.kl.sum(1).mean())


class PpoLoop:
    """The iterations of one run over its state."""

    def __init__(
        self,
        transformer: Transformer,
        prompts: Sequence[Sequence[int]],
        scorer: Scorer,
        config: PpoConfig,
        state: PpoState,
        should_stop: Callable[[], bool],
        count_words: Callable[[Sequence[int]], int],
    ) -> None:
        self.transformer, self.prompts, self.scorer = transformer, prompts, scorer
        self.config, self.state, self.should_stop = config, state, should_stop
        self.count_words = count_words

    def poll(self) -> None:
        if self.should_stop():
            raise Cancelled

    def calibrate(self) -> None:
        """Score the base's own completions: the scale of all later scores, and a first fit of the values."""
        rollout = self._roll_out(self.config.calibration_prompts)
        scores, p_violation = self._score(rollout)
        self.state.scale = ScoreScale.measure(scores)
        self.poll()
        batches = list(torch.split(torch.arange(len(rollout)), self.config.minibatch_rows))
        base = self._log_probs(rollout, None, batches)
        scored = ScoredRollout(rollout, scores, p_violation, base, base, completion_mask(rollout), base.log_probs * 0)
        shaped = self._shape(scored)
        self._fit_value(scored, self._token_rewards(scored, shaped), self._context(scored, shaped))

    def iterate(self) -> bool:
        """One rollout and its updates. Past the KL stop: False, with the weights of the iteration before."""
        clock = [time.perf_counter()]
        rollout = self._roll_out(self.config.prompts_per_iteration)
        clock.append(time.perf_counter())
        epochs = self.state.draw_batches(len(rollout))
        scored = self._score_rollout(rollout, epochs[0])
        clock.append(time.perf_counter())
        self.state.brake.update(scored.kl_nats)
        if self.state.brake.is_past(self.config.stop_kl):
            self.state.fall_back()
            return False
        metrics = self._learn(scored, epochs)
        clock.append(time.perf_counter())
        names = ("seconds/rollout", "seconds/scoring", "seconds/update")
        metrics |= {name: end - start for name, start, end in zip(names, clock, clock[1:], strict=False)}
        metrics["seconds"] = clock[-1] - clock[0]
        metrics["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        metrics["objective/kl_smoothed"] = self.state.brake.level
        self.state.finish_iteration(scored.kl_nats, len(rollout), metrics)
        return True

    def _roll_out(self, prompts: int) -> Rollout:
        self.poll()
        chosen, seed = self.state.draw_prompts(prompts), self.state.draw_seed()
        return sample(
            self.transformer,
            [self.prompts[index] for index in chosen],
            completions_per_prompt=self.config.completions_per_prompt,
            max_tokens=self.config.max_tokens,
            temperature=self.config.temperature,
            seed=seed,
            adapter=self.state.adapter,
            batch_rows=self.config.sample_rows,
            keep_log_probs=True,
        )

    def _score_rollout(self, rollout: Rollout, batches: list[Tensor]) -> ScoredRollout:
        """Old log-probs are scored anew: the sampler's own, of merged bf16 weights, are off by 0.03 nats a token, and
        the ratio must be that of one computation. What is off is weighed in the loss (`importance_weights`)."""
        self.poll()
        scores, p_violation = self._score(rollout)
        self.poll()
        policy = self._log_probs(rollout, self.state.adapter, batches, of_policy=True)
        self.poll()
        base = self._log_probs(rollout, None, batches)
        kl = policy.log_probs - base.log_probs
        require_finite(kl, "the KL to the reference", self.state.iteration)
        return ScoredRollout(rollout, scores, p_violation, policy, base, completion_mask(rollout), kl)

    def _score(self, rollout: Rollout) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            scores, p_violation = self.scorer.score(rollout, rollout.states)
        require_finite(scores, "the scorer's score", self.state.iteration)
        require_finite(p_violation, "the scorer's P(violation)", self.state.iteration)
        return scores.to(self.transformer.device), p_violation.to(self.transformer.device)

    def _log_probs(
        self, rollout: Rollout, adapter: Adapter | None, batches: list[Tensor], *, of_policy: bool = False
    ) -> Scored:
        return score_completions(
            self.transformer,
            rollout,
            adapter,
            batches,
            temperature=self.config.temperature,
            entropy=of_policy,
            keep_first=of_policy,
        )

    def _shape(self, scored: ScoredRollout) -> ShapedReward:
        rollout = scored.rollout
        words = torch.tensor([self.count_words(ids) for ids in rollout.completions()], device=scored.scores.device)
        return shape(scored.scores, scored.p_violation, words, rollout.ended, self.state.scale, self.config)

    def _token_rewards(self, scored: ScoredRollout, shaped: ShapedReward) -> Tensor:
        rewards = token_rewards(shaped.total, scored.kl, scored.mask, self.state.beta)
        return whiten(rewards, scored.mask, keep_mean=True) if self.config.whiten_rewards else rewards

    def _learn(self, scored: ScoredRollout, epochs: list[list[Tensor]]) -> dict[str, float]:
        config, state, mask = self.config, self.state, scored.mask
        shaped = self._shape(scored)
        rewards = self._token_rewards(scored, shaped)
        values = torch.zeros_like(rewards)
        context = self._context(scored, shaped)
        values[mask] = state.value.predict(scored.base.hidden, context).to(values.device)
        advantages, _ = advantages_and_returns(rewards, values, mask, gamma=config.gamma, lam=config.lam)
        weights = importance_weights(scored.policy.log_probs, scored.sampled, config.importance_sampling_cap)
        experience = Experience(scored.rollout, scored.policy, whiten(advantages, mask), weights, mask)
        metrics = _objective_metrics(scored, shaped, state.beta) | {"lr": state.begin_update()}
        metrics |= _sampler_metrics(scored, weights)
        update = update_policy(
            self.transformer, state.adapter, state.optimizer, experience, epochs, config,
            iteration=state.iteration, poll=self.poll,
        )  # fmt: skip
        return metrics | update.metrics() | self._fit_value(scored, rewards, context)

    def _context(self, scored: ScoredRollout, shaped: ShapedReward) -> Tensor:
        return context_of(scored.mask, shaped.total, scored.rollout.prompt_index, self.config.max_tokens)

    def _fit_value(self, scored: ScoredRollout, rewards: Tensor, context: Tensor) -> dict[str, float]:
        """Explained variance before, on returns not yet seen, and the clipped loss after the refit."""
        value, mask, hidden = self.state.value, scored.mask, scored.base.hidden
        returns = rewards_to_go(rewards, mask, gamma=self.config.gamma)[mask].cpu()
        before = value.predict(hidden, context)
        moved = value.refit(hidden, context, returns)
        after = value.predict(hidden, context)
        bounded = before + (after - before).clamp(-self.config.cliprange_value, self.config.cliprange_value)
        losses = torch.max((after - returns).square(), (bounded - returns).square())
        return {
            "loss/value_avg": float(0.5 * losses.mean()),
            "value/explained_variance": explained_variance(before, returns),
            "value/moved": moved,
        }


def _sampler_metrics(scored: ScoredRollout, weights: Tensor) -> dict[str, float]:
    """How far the sampler is from the scorer: nats a token, and what its tokens weigh in the loss."""
    difference = (scored.policy.log_probs - scored.sampled)[scored.mask]
    return {
        "sampler/nats": float(difference.abs().mean()),
        "sampler/nats_max": float(difference.abs().max()),
        "sampler/weight": float(weights[scored.mask].mean()),
    }


def _objective_metrics(scored: ScoredRollout, shaped: ShapedReward, beta: float) -> dict[str, float]:
    """Reward, KL and scores of the rollout under TRL's names, and the parts of the reward under ours."""
    rollout, mask = scored.rollout, scored.mask
    non_score = -beta * scored.kl.sum(1)
    return {
        "objective/kl": scored.kl_nats,
        "objective/entropy": float(-scored.policy.log_probs.sum(1).mean()),
        "objective/non_score_reward": float(non_score.mean()),
        "objective/rlhf_reward": float((non_score + shaped.total).mean()),
        "objective/scores": float(scored.scores.float().mean()),
        "objective/beta": beta,
        "policy/entropy_avg": float(scored.policy.entropy[mask].mean()),
        "val/num_eos_tokens": float(rollout.ended.sum()),
        "reward/score": float(shaped.score.mean()),
        "reward/violation": float(scored.p_violation.float().mean()),
        "reward/violation_penalty": float(shaped.violation.mean()),
        "reward/missing_eos_penalty": float(shaped.missing_eos.mean()),
        "reward/short_penalty": float(shaped.short.mean()),
        "length/mean": float(rollout.completion_lengths.float().mean()),
        "eos_rate": float(rollout.ended.float().mean()),
    }
