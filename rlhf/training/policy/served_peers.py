"""TRL's RLOO and GRPO on completions that servers sample, with the weights that our PPO gives to their tokens.

TRL has its own way to a server for GRPO alone (`rollout_func`), and weighs what comes from there only where vLLM is
its own. So what generates is replaced in both, and what was scored is read; REPLACED names all that this rests on.
"""

import inspect
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from rlhf.training.model.adapter import Adapter
from rlhf.training.rollouts.completions import ServerCompletion
from rlhf.training.rollouts.mismatch import Mismatch, importance_weights, weight_metrics
from rlhf.training.rollouts.server_sampler import ServerSampler
from rlhf.training.rollouts.source import RolloutSampling

WEIGHTS = "importance_sampling_ratio"
"""[B, T] in a batch that TRL has scored, under GRPO's own name."""
REPLACED: Mapping[str, Sequence[str]] = {
    "_generate_single_turn": ("prompt_ids", "images", "multimodal_fields"),
    "_generate_and_score_completions": ("inputs",),
    "_get_per_token_logps_and_entropies": ("model", "input_ids", "attention_mask", "logits_to_keep"),
    "_compute_loss": ("model", "inputs"),
}
"""Methods of TRL 1.16's RLOOTrainer and GRPOTrainer, with their first parameters."""


@dataclass
class TrlChanged(Exception):
    """The installed TRL computes RLOO or GRPO otherwise than the one that this is written for."""

    what: str

    def __str__(self) -> str:
        return (
            "RLOO and GRPO learn from what servers sample only by TRL 1.16's trainers, and the installed differs: "
            f"{self.what}. Install trl 1.16, or clear CHAMSAE_ROLLOUT_URL"
        )


def require_known(trainer: type) -> None:
    """`trainer`: TRL's class. Raises TrlChanged."""
    for name, parameters in REPLACED.items():
        method = getattr(trainer, name, None)
        if method is None:
            raise TrlChanged(f"{trainer.__name__} has no {name}")
        found = tuple(inspect.signature(method).parameters)[1 : len(parameters) + 1]
        if found != tuple(parameters):
            raise TrlChanged(f"{trainer.__name__}.{name} takes {', '.join(found)}, not {', '.join(parameters)}")


@dataclass
class ServedRollouts:
    """Asks the servers for the completions of each step, and weighs them once they are scored."""

    source: ServerSampler
    sampling: RolloutSampling
    cap: float
    """Of a token's weight."""
    seed: int
    poll: Callable[[], None]
    adapter_of: Callable[[Any], Adapter]
    """Of a trainer's model."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Of the newest step, under PPO's names."""

    def complete(self, trained: Any, prompts: Sequence[Sequence[int]], step: int) -> list[ServerCompletion]:
        """A completion for each of TRL's rows, which repeat a prompt for each of its completions; those of a step
        are the same whenever it is asked for. Raises RolloutServersAway, RolloutRefused, AnotherModelSampled,
        TrlChanged."""
        each = self.sampling.completions_per_prompt
        once = prompts[::each]
        if [prompt for prompt in once for _ in range(each)] != list(prompts):
            raise TrlChanged("the rows of a step do not repeat each prompt side by side")
        began, seed = time.perf_counter(), random.Random(f"{self.seed}/rollout/{step}").getrandbits(61)
        made = self.source.complete(once, self.adapter_of(trained), self.sampling, seed=seed, poll=self.poll)
        seconds, found = time.perf_counter() - began, [one for row in made for one in row]
        tokens = sum(len(one.ids) for one in found)
        self.metrics = {"seconds/rollout": seconds, "rollout/tokens_per_second": tokens / seconds}
        return found

    def weigh(self, scored: Tensor, sampled: Tensor, mask: Tensor) -> Tensor:
        """Log-probs [B, T] of the same tokens by TRL's scorer and by the server -> weights [B, T], 1 where `mask` is
        not. Raises AnotherModelSampled."""
        mismatch = Mismatch.of(scored, sampled, mask)
        self.source.judge(mismatch)
        weights = importance_weights(scored, sampled, self.cap).masked_fill(~mask, 1.0)
        self.metrics |= mismatch.metrics() | weight_metrics(weights[mask], self.cap)
        return weights


class Served:
    """Before one of TRL's trainers."""

    rollouts: ServedRollouts
    _sampled: Sequence[ServerCompletion]

    def begin(self, rollouts: ServedRollouts) -> None:
        self.rollouts = rollouts

    def _completed(self, prompt_ids: Sequence[Sequence[int]]) -> list[list[int]]:
        trainer: Any = self
        self._sampled = self.rollouts.complete(trainer.model, prompt_ids, trainer.state.global_step)
        return [one.ids for one in self._sampled]

    def _weights(self, scored: Tensor, mask: Tensor) -> Tensor:
        """Of the completions that were sampled last."""
        sampled = torch.zeros_like(scored)
        for row, one in zip(sampled, self._sampled, strict=True):
            row[: len(one.log_probs)] = torch.tensor(one.log_probs)
        return self.rollouts.weigh(scored, sampled, mask)


class ServedGrpo(Served):
    """Before `trl.GRPOTrainer`, which multiplies each token's loss by such a weight where vLLM is its own."""

    def begin(self, rollouts: ServedRollouts) -> None:
        """After the trainer's making, which would have looked for its own vLLM: from here on `use_vllm` says only
        that old log-probs are scored, and that the loss is weighed."""
        super().begin(rollouts)
        trainer: Any = self
        if not (trainer.use_vllm is False and trainer.vllm_importance_sampling_correction is True):
            raise TrlChanged("GRPOTrainer does not correct what vLLM samples by default")
        trainer.use_vllm = True
        trainer.vllm_importance_sampling_mode = "token_truncate"  # as ours, for the figures that TRL reports of them
        trainer.vllm_importance_sampling_clip_max = rollouts.cap

    def _generate_single_turn(
        self, prompt_ids: Any, images: Any, multimodal_fields: Any, *others: Any, **more: Any
    ) -> Any:
        ids = self._completed(prompt_ids)
        return ids, [one.log_probs for one in self._sampled]

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        parent: Any = super()
        batch = parent._generate_and_score_completions(inputs)
        if WEIGHTS not in batch:
            raise TrlChanged(f"GRPOTrainer has no {WEIGHTS} among what it scored")
        batch[WEIGHTS] = self._weights(_part(batch, "old_per_token_logps"), _part(batch, "completion_mask").bool())
        return batch


class ServedRloo(Served):
    """Before `trl.RLOOTrainer`, whose loss is of a completion's summed log-probs and knows no weights: each token's
    gradient is weighted where they are made, and no value changes."""

    _scored: list[Tensor]
    """What was scored of the batch in the making, that of the policy first."""
    _in_loss: Tensor | None = None
    """The weights, while the loss is computed."""

    def _generate_single_turn(
        self, prompt_ids: Any, images: Any, multimodal_fields: Any, *others: Any, **more: Any
    ) -> Any:
        return self._completed(prompt_ids)

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        parent: Any = super()
        self._scored = []
        batch = parent._generate_and_score_completions(inputs)
        scored, mask = self._scored[0], _part(batch, "completion_mask").bool()
        if not torch.equal((scored * mask).sum(1), _part(batch, "old_logps")):
            raise TrlChanged("RLOOTrainer does not score the policy first")
        self._scored = []
        return batch | {WEIGHTS: self._weights(scored, mask)}

    def _get_per_token_logps_and_entropies(self, *given: Any, **more: Any) -> Any:
        parent: Any = super()
        log_probs, *others = parent._get_per_token_logps_and_entropies(*given, **more)
        if self._in_loss is None:
            self._scored.append(log_probs)
        else:
            log_probs = weighted(log_probs, self._in_loss)
        return log_probs, *others

    def _compute_loss(self, model: Any, inputs: Any) -> Any:
        parent: Any = super()
        self._in_loss = _part(inputs, WEIGHTS)
        try:
            return parent._compute_loss(model, inputs)
        finally:
            self._in_loss = None


BEFORE: Mapping[str, type[Served]] = {"rloo": ServedRloo, "grpo": ServedGrpo}


def kind_of(algorithm: str, trainer: type) -> type:
    """TRL's trainer with what is replaced before it. Raises TrlChanged."""
    require_known(trainer)
    return type(f"Served{trainer.__name__}", (BEFORE[algorithm], trainer), {})


def weighted(values: Tensor, weights: Tensor) -> Tensor:
    """The same values, through which gradients flow `weights` times as strongly."""
    held = values.detach()
    return held + weights * (values - held)


def _part(batch: Mapping[str, Any], name: str) -> Tensor:
    """Raises TrlChanged."""
    if name not in batch:
        raise TrlChanged(f"there is no {name} in a batch")
    found: Tensor = batch[name]
    return found
