"""One PPO iteration: roll out, score, shape rewards, update the policy, refit the value, return metrics."""

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from rlhf.training import processes
from rlhf.training.hyperparameters import require
from rlhf.training.model.adapter import Adapter
from rlhf.training.model.decoder import Decoder
from rlhf.training.model.rollout import Rollout
from rlhf.training.model.scoring import Scored, completion_mask, own_rows, score_completions
from rlhf.training.ppo import alarms
from rlhf.training.ppo.config import PpoConfig
from rlhf.training.ppo.gae import advantages_and_returns, rewards_to_go, whiten
from rlhf.training.ppo.shaping import GroupScorer, Scorer, ScoreScale, ShapedReward, shape, token_rewards
from rlhf.training.ppo.state import PpoState
from rlhf.training.ppo.update import Experience, require_finite, update_policy
from rlhf.training.ppo.value import context_of, explained_variance
from rlhf.training.rollouts.mismatch import Mismatch, importance_weights, weight_metrics
from rlhf.training.rollouts.source import OwnSampler, RolloutSampling, RolloutSource


class Cancelled(Exception):
    """The caller asked to stop in the middle of an iteration."""


@dataclass(frozen=True)
class ScoredRollout:
    """A rollout with scores, and log-probs under policy and base. N completions, C columns, M tokens in all."""

    rollout: Rollout
    scores: Tensor  # [N]
    p_violation: Tensor  # [N]
    by_group: Tensor  # [N, G] P(violation) of each group of rules; [N, 0] where the scorer tells none apart
    policy: Scored
    base: Scored
    mask: Tensor  # [N, C]
    kl: Tensor  # [N, C] log p - log p_ref of the tokens sampled
    beside: Tensor | None = (
        None  # the same from where training started, or from the anchor where that is the reference
    )

    @property
    def sampled(self) -> Tensor:
        """[N, C] the sampler's own log-probs of its tokens."""
        return self.rollout.completion_log_probs().to(self.policy.log_probs.dtype)

    @cached_property
    def mismatch(self) -> Mismatch:
        return Mismatch.of(self.policy.log_probs, self.sampled, self.mask)

    @property
    def kl_nats(self) -> float:
        """The mean over completions of their summed KL estimate (k1)."""
        return float(self.kl.sum(1).mean())


@dataclass(frozen=True)
class Distance:
    """KL in nats a completion, k1."""

    start: float  # from where training started
    anchor: float  # from the base without an adapter

    @classmethod
    def of(cls, scored: ScoredRollout, reference: Adapter | None) -> "Distance":
        """`reference` None is the anchor."""
        if scored.beside is None:
            return cls(scored.kl_nats, scored.kl_nats)
        beside = float(scored.beside.sum(1).mean())
        return cls(beside, scored.kl_nats) if reference is None else cls(scored.kl_nats, beside)


class PpoLoop:
    """The iterations of one run over its state."""

    def __init__(
        self,
        transformer: Decoder,
        prompts: Sequence[Sequence[int]],
        scorer: Scorer,
        config: PpoConfig,
        state: PpoState,
        should_stop: Callable[[], bool],
        count_words: Callable[[Sequence[int]], int],
        speaks: Callable[[Sequence[int]], bool] | None = None,
        watch: Scorer | None = None,
        source: RolloutSource | None = None,
    ) -> None:
        """`source`: of the completions; by default the sampler of this process."""
        self.source = source or OwnSampler(transformer, batch_rows=config.sample_rows)
        self.transformer, self.prompts, self.scorer = transformer, prompts, scorer
        self.config, self.state, self.should_stop = config, state, should_stop
        self.count_words, self.speaks, self.watch = count_words, speaks, watch
        self.groups = tuple(scorer.groups) if isinstance(scorer, GroupScorer) else ()
        told = bool(self.groups) or config.violation_mode != "lagrangian"
        require(told, "violation_mode", config.violation_mode, "needs a reward model that knows groups of rules")

    def poll(self) -> None:
        if self.should_stop():
            raise Cancelled

    def calibrate(self) -> None:
        """Score the completions of where training starts: the scale of all later scores, a first fit of the values,
        and how far from the reference that is."""
        rollout = self._roll_out(self.config.calibration_prompts)
        scores, p_violation, by_group = self._score(rollout)
        self.state.scale = ScoreScale.measure(scores)
        if self.watch is not None:
            self.state.watch_scale = ScoreScale.measure(self._watched(self.watch, rollout))
        self.poll()
        batches = list(torch.split(torch.arange(len(rollout)), self.config.minibatch_rows))
        base = self._log_probs(rollout, self.state.reference, batches)
        policy = (
            base if self.state.start is self.state.reference else self._log_probs(rollout, self.state.start, batches)
        )
        mask, kl = completion_mask(rollout), policy.log_probs - base.log_probs
        scored = ScoredRollout(rollout, scores, p_violation, by_group, policy, base, mask, kl)
        if policy is not base:
            self.state.begin_at(scored.kl_nats)
        shaped = self._shape(scored)
        self._fit_value(scored, self._token_rewards(scored, shaped), self._context(scored, shaped))

    def iterate(self) -> bool:
        """One rollout and its updates. Past the KL stop: False, with the weights of the iteration before."""
        config, state = self.config, self.state
        clock = [time.perf_counter()]
        rollout = self._roll_out(self.config.prompts_per_iteration)
        clock.append(time.perf_counter())
        epochs = state.draw_batches(len(rollout))
        scored = self._score_rollout(rollout, epochs[0])
        clock.append(time.perf_counter())
        state.brake.update(scored.kl_nats)
        if config.kl_controller == "integral":
            state.brake.integrate(target=state.target_kl, share=config.kl_integral, scale=config.target_kl)
        if state.brake.is_past(state.stop_kl):
            state.fall_back()
            return False
        distance = Distance.of(scored, state.reference)
        metrics = self._ascend(scored) | self._measure_watch(rollout) | self._learn(scored, epochs)
        clock.append(time.perf_counter())
        metrics |= _seconds(clock) | self._kl_metrics(distance)
        metrics["rollout/tokens_per_second"] = int(rollout.completion_lengths.sum()) / metrics["seconds/rollout"]
        metrics["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        if not alarms.signs_of([*state.metrics, metrics], config):
            self._note_best(metrics, distance)
        state.finish_iteration(distance.start, distance.anchor, len(rollout), metrics)
        return True

    def _kl_metrics(self, distance: Distance) -> dict[str, float]:
        found = {"objective/kl_smoothed": self.state.brake.level}
        if self.state.start is None:
            return found
        both = {"objective/kl_live": distance.start, "objective/kl_anchor": distance.anchor}
        return found | both | {"objective/kl_target": self.state.target_kl}

    def _note_best(self, metrics: dict[str, float], distance: Distance) -> None:
        """Where a judge watches, only iterations that it measured are candidates."""
        figure = metrics.get(alarms.WATCH if self.watch is not None else alarms.REWARD)
        if figure is not None:
            self.state.note_best(figure, distance.start, distance.anchor)

    def _ascend(self, scored: ScoredRollout) -> dict[str, float]:
        """Mean P(violation) by group; with the Lagrangian also the multipliers, moved by them."""
        means = dict(zip(self.groups, scored.by_group.float().mean(0).tolist(), strict=True))
        found = {f"violation/{group}": mean for group, mean in means.items()}
        if self.config.violation_mode != "lagrangian":
            return found
        config, multipliers = self.config, self.state.multipliers
        multipliers.ascend(
            means,
            start=config.lagrange_start,
            target=config.violation_target,
            rate=config.lagrange_rate,
            damping=config.lagrange_damping,
        )
        return found | {f"lagrange/{group}": multipliers.in_use[group] for group in self.groups}

    def _measure_watch(self, rollout: Rollout) -> dict[str, float]:
        """Of the judge that does not train, on the rollouts of every `watch_every`th iteration; beside the reward."""
        if self.watch is None or self.state.iteration % self.config.watch_every:
            return {}
        scale = self.state.watch_scale
        return {alarms.WATCH: float(((self._watched(self.watch, rollout) - scale.mean) / scale.spread).mean())}

    def _watched(self, watch: Scorer, rollout: Rollout) -> Tensor:
        with torch.no_grad():
            scores, _ = _by_rows(rollout, lambda part: watch.score(part, part.states))
        require_finite(scores, "the watching judge's score", self.state.iteration)
        return scores.float()

    def _roll_out(self, prompts: int) -> Rollout:
        self.poll()
        chosen, seed = self.state.draw_prompts(prompts), self.state.draw_seed()
        config, asked = self.config, [self.prompts[index] for index in chosen]
        sampling = RolloutSampling(config.completions_per_prompt, config.max_tokens, config.temperature)
        return self.source.roll_out(asked, self.state.adapter, sampling, seed=seed, poll=self.poll)

    def _score_rollout(self, rollout: Rollout, batches: list[Tensor]) -> ScoredRollout:
        """Old log-probs are scored anew: the sampler's own, of merged bf16 weights, are off by 0.03 nats a token, and
        the ratio must be that of one computation. What is off is weighed in the loss (rollouts.mismatch)."""
        self.poll()
        scores, p_violation, by_group = self._score(rollout)
        self.poll()
        policy = self._log_probs(rollout, self.state.adapter, batches, of_policy=True)
        self.poll()
        base = self._log_probs(rollout, self.state.reference, batches)
        kl = policy.log_probs - base.log_probs
        require_finite(kl, "the KL to the reference", self.state.iteration)
        mask, beside = completion_mask(rollout), self._beside(rollout, policy, batches)
        scored = ScoredRollout(rollout, scores, p_violation, by_group, policy, base, mask, kl, beside)
        self.source.judge(scored.mismatch)
        return scored

    def _beside(self, rollout: Rollout, policy: Scored, batches: list[Tensor]) -> Tensor | None:
        """[N, C] as the KL, from the one of start and anchor that is not the reference; None where they are one."""
        state = self.state
        if state.start is None:
            return None
        self.poll()
        other = state.start if state.reference is None else None
        return policy.log_probs - self._log_probs(rollout, other, batches).log_probs

    def _score(self, rollout: Rollout) -> tuple[Tensor, Tensor, Tensor]:
        """Scores, P(violation) and that of each group."""
        with torch.no_grad():
            scores, p_violation, by_group = _by_rows(rollout, self._score_rows)
        require_finite(scores, "the scorer's score", self.state.iteration)
        require_finite(p_violation, "the scorer's P(violation)", self.state.iteration)
        require_finite(by_group, "the scorer's P(violation) by group", self.state.iteration)
        device = self.transformer.device
        return scores.to(device), p_violation.to(device), by_group.to(device)

    def _score_rows(self, rollout: Rollout) -> tuple[Tensor, ...]:
        if isinstance(self.scorer, GroupScorer):
            return self.scorer.score_groups(rollout, rollout.states)
        return *self.scorer.score(rollout, rollout.states), torch.zeros(len(rollout), 0)

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
        completions, device = rollout.completions(), scored.scores.device
        words = torch.tensor([self.count_words(ids) for ids in completions], device=device)
        speaks = (
            None if self.speaks is None else torch.tensor([self.speaks(ids) for ids in completions], device=device)
        )
        return shape(
            scored.scores,
            scored.p_violation,
            words,
            rollout.ended,
            self.state.scale,
            self.config,
            speaks=speaks,
            violation_cost=self._violation_cost(scored),
        )

    def _violation_cost(self, scored: ScoredRollout) -> Tensor | None:
        if self.config.violation_mode != "lagrangian":
            return None
        return self.state.multipliers.cost(self.groups, scored.by_group, self.config.lagrange_start)

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
        metrics |= scored.mismatch.metrics() | weight_metrics(weights[mask], config.importance_sampling_cap)
        metrics |= _disagreement(self.scorer, len(scored.rollout))
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


def _seconds(clock: Sequence[float]) -> dict[str, float]:
    """Of the parts of an iteration, between the times in `clock`, and of all of it."""
    names = ("seconds/rollout", "seconds/scoring", "seconds/update")
    parts = {name: end - start for name, start, end in zip(names, clock, clock[1:], strict=False)}
    return parts | {"seconds": clock[-1] - clock[0]}


def _by_rows(rollout: Rollout, judge: Callable[[Rollout], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """What `judge` says of each row, [N] or [N, ...]; of several processes each judges some of them."""
    if processes.count() == 1:
        return judge(rollout)
    rows, counts = own_rows(torch.arange(len(rollout), device=rollout.ids.device))
    return tuple(processes.gather(one if counts else one[:0]) for one in judge(rollout.select(rows)))


def _disagreement(scorer: Scorer, rows: int) -> dict[str, float]:
    """Of a scorer that is an ensemble, how far its members are apart on this rollout; of another nothing."""
    found = getattr(scorer, "disagreement", None)
    if found is None:
        return {}
    own = len(range(rows)[processes.block(rows)])
    return {"reward/disagreement": processes.totals([found * own / rows])[0]}


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
