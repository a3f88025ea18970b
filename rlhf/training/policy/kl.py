"""The KL of an adapter to its base on completions of its own, and the stop at it, for ways that have neither."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from rlhf.training.artefacts.resume import Checkpointer
from rlhf.training.model.adapter import Adapter
from rlhf.training.model.sampler import sample
from rlhf.training.model.scoring import score_completions
from rlhf.training.model.transformer import Transformer
from rlhf.training.policy.config import WayConfig

ROWS = 16
"""Completions that are sampled and scored at a time."""


@dataclass(frozen=True)
class OwnCompletions:
    """Figures of an adapter's own completions."""

    kl_nats: float
    """A completion: the mean of log p - log p of the base over the tokens drawn (k1), as our PPO measures it."""
    tokens: float
    ended: float

    def named(self) -> dict[str, float]:
        return {"objective/kl": self.kl_nats, "length/mean": self.tokens, "eos_rate": self.ended}


@torch.no_grad()
def measure(
    transformer: Transformer,
    adapter: Adapter,
    prompts: Sequence[Sequence[int]],
    config: WayConfig,
    *,
    seed: int,
    poll: Callable[[], None],
) -> OwnCompletions:
    """One completion of each prompt, at the temperature of training."""
    kl = tokens = ended = 0.0
    for start in range(0, len(prompts), ROWS):
        poll()
        rollout = sample(
            transformer,
            prompts[start : start + ROWS],
            max_tokens=config.max_tokens,
            temperature=config.temperature,
            seed=seed + start,
            adapter=adapter,
        )
        rows = [torch.arange(len(rollout))]
        policy, base = (
            score_completions(transformer, rollout, one, rows, temperature=config.temperature).log_probs
            for one in (adapter, None)
        )
        kl += float((policy - base).sum())
        tokens += float(rollout.completion_lengths.sum())
        ended += float(rollout.ended.sum())
    return OwnCompletions(kl / len(prompts), tokens / len(prompts), ended / len(prompts))


@dataclass
class KlStop:
    """Measures an adapter's KL on the same prompts each time and remembers the newest weights within the limit.

    Before anything was measured those are the base's, whose KL is 0.
    """

    transformer: Transformer
    prompts: Sequence[Sequence[int]]
    config: WayConfig
    seed: int
    checkpointer: Checkpointer
    poll: Callable[[], None]
    newest: OwnCompletions | None = None
    steps: int = 0  # of the weights remembered
    kl_nats: float = 0.0  # of the weights remembered
    _weights: list[torch.Tensor] = field(default_factory=list)

    @classmethod
    def over(
        cls,
        transformer: Transformer,
        prompts: Sequence[Sequence[int]],
        config: WayConfig,
        *,
        seed: int,
        checkpointer: Checkpointer,
        poll: Callable[[], None],
    ) -> "KlStop":
        """On a seeded choice of the prompts, with what a killed run has remembered."""
        count = min(config.kl_prompts, len(prompts))
        chosen = random.Random(f"{seed}/kl").sample(list(prompts), count)
        stop = cls(transformer, chosen, config, seed, checkpointer, poll)
        stop._restore(checkpointer.load())
        return stop

    def holds(self, adapter: Adapter, step: int) -> bool:
        """Measure. Whether the KL is within the limit; then the weights are remembered."""
        self.newest = measure(self.transformer, adapter, self.prompts, self.config, seed=self.seed, poll=self.poll)
        if not self.newest.kl_nats <= self.config.stop_kl:
            return False
        self._weights = [tensor.detach().clone() for tensor in adapter.parameters()]
        self.steps, self.kl_nats = step, self.newest.kl_nats
        tensors = {str(index): tensor for index, tensor in enumerate(self._weights)}
        self.checkpointer.save(step, tensors, {"steps": step, "kl_nats": self.kl_nats})
        return True

    def fall_back(self, adapter: Adapter) -> None:
        """To the weights remembered."""
        fresh = Adapter.create(self.transformer, rank=adapter.rank, alpha=adapter.alpha)
        adapter.copy_from(self._weights or fresh.parameters())

    def figures(self) -> dict[str, float]:
        """Of the newest measurement, once."""
        newest, self.newest = self.newest, None
        return newest.named() if newest is not None else {}

    def _restore(self, saved: tuple[Mapping[str, torch.Tensor], Mapping[str, Any]] | None) -> None:
        if saved is not None:
            tensors, values = saved
            self._weights = [tensors[str(index)] for index in range(len(tensors))]
            self.steps, self.kl_nats = int(values["steps"]), float(values["kl_nats"])
