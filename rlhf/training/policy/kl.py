"""The KL of an adapter to its reference on completions of its own, and the stop at it, for ways that have neither."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from rlhf.training.artefacts.resume import Checkpointer
from rlhf.training.model.adapter import Adapter
from rlhf.training.model.decoder import Decoder
from rlhf.training.model.sampler import sample
from rlhf.training.model.scoring import score_completions
from rlhf.training.policy.config import WayConfig

ROWS = 16
"""Completions that are sampled and scored at a time."""


@dataclass(frozen=True)
class OwnCompletions:
    """Figures of an adapter's own completions."""

    kl_nats: float
    """A completion from the reference: the mean of log p - log p of the reference over the tokens drawn (k1), as our
    PPO measures it."""
    tokens: float
    ended: float
    start_kl_nats: float
    """From where training started."""
    anchor_kl_nats: float
    """From the base without an adapter."""
    goes_on: bool = False
    """Whether these are two."""

    def named(self) -> dict[str, float]:
        found = {"objective/kl": self.kl_nats, "length/mean": self.tokens, "eos_rate": self.ended}
        both = {"objective/kl_live": self.start_kl_nats, "objective/kl_anchor": self.anchor_kl_nats}
        return found | (both if self.goes_on else {})


@torch.no_grad()
def measure(
    transformer: Decoder,
    adapter: Adapter,
    prompts: Sequence[Sequence[int]],
    config: WayConfig,
    *,
    seed: int,
    poll: Callable[[], None],
    start: Adapter | None = None,
) -> OwnCompletions:
    """One completion of each prompt, at the temperature of training. `start`: where training started; None: at the
    base."""
    from_anchor = from_start = tokens = ended = 0.0
    for first in range(0, len(prompts), ROWS):
        poll()
        rollout = sample(
            transformer,
            prompts[first : first + ROWS],
            max_tokens=config.max_tokens,
            temperature=config.temperature,
            seed=seed + first,
            adapter=adapter,
        )
        rows = [torch.arange(len(rollout))]
        policy, anchor, *before = (
            score_completions(transformer, rollout, one, rows, temperature=config.temperature).log_probs
            for one in (adapter, None, *([] if start is None else [start]))
        )
        from_anchor += float((policy - anchor).sum())
        from_start += float((policy - (before[0] if before else anchor)).sum())
        tokens += float(rollout.completion_lengths.sum())
        ended += float(rollout.ended.sum())
    kl = from_start if config.reference == "live" else from_anchor
    count = len(prompts)
    figures = kl / count, tokens / count, ended / count, from_start / count, from_anchor / count
    return OwnCompletions(*figures, start is not None)


@dataclass
class KlStop:
    """Measures an adapter's KL on the same prompts each time and remembers the newest weights within the limit.

    Before anything was measured those are the ones that training starts from.
    """

    transformer: Decoder
    prompts: Sequence[Sequence[int]]
    config: WayConfig
    seed: int
    checkpointer: Checkpointer
    poll: Callable[[], None]
    start: Adapter | None = None  # None: the base
    newest: OwnCompletions | None = None
    steps: int = 0  # of the weights remembered
    kl_nats: float = 0.0  # of the weights remembered, from where training started
    anchor_kl_nats: float | None = None  # of the weights remembered, from the base; None where training started there
    limit: float | None = None  # nats from the reference
    _weights: list[torch.Tensor] = field(default_factory=list)

    @classmethod
    def over(
        cls,
        transformer: Decoder,
        prompts: Sequence[Sequence[int]],
        config: WayConfig,
        *,
        seed: int,
        checkpointer: Checkpointer,
        poll: Callable[[], None],
        start: Adapter | None = None,
    ) -> "KlStop":
        """On a seeded choice of the prompts, with what a killed run has remembered."""
        count = min(config.kl_prompts, len(prompts))
        chosen = random.Random(f"{seed}/kl").sample(list(prompts), count)
        stop = cls(transformer, chosen, config, seed, checkpointer, poll, start)
        stop._restore(checkpointer.load())
        return stop

    def begin(self) -> None:
        """Measure how far from the reference training starts, once: a run that goes on has its stop above it."""
        if self.limit is not None:
            return
        if self.start is None:
            self.limit = self.config.stop_after(None)
            return
        found = self.measure(self.start)
        self.limit = self.config.stop_after(found.kl_nats if self.config.reference == "anchor" else None)
        if not self._weights:
            self.anchor_kl_nats = found.anchor_kl_nats

    def holds(self, adapter: Adapter, step: int) -> bool:
        """Measure. Whether the KL is within the limit; then the weights are remembered."""
        self.begin()
        self.newest = self.measure(adapter)
        assert self.limit is not None
        if not self.newest.kl_nats <= self.limit:
            return False
        self._weights = [tensor.detach().clone() for tensor in adapter.parameters()]
        self.steps, self.kl_nats = step, self.newest.start_kl_nats
        self.anchor_kl_nats = self.newest.anchor_kl_nats if self.newest.goes_on else None
        tensors = {str(index): tensor for index, tensor in enumerate(self._weights)}
        values = {"steps": step, "kl_nats": self.kl_nats, "anchor_kl_nats": self.anchor_kl_nats}
        self.checkpointer.save(step, tensors, values)
        return True

    def fall_back(self, adapter: Adapter) -> None:
        """To the weights remembered."""
        before = self.start or Adapter.create(self.transformer, rank=adapter.rank, alpha=adapter.alpha)
        adapter.copy_from(self._weights or before.parameters())

    def facts(self) -> dict[str, float]:
        """KL of the weights remembered, for the result."""
        further = {} if self.anchor_kl_nats is None else {"anchor_kl_nats": self.anchor_kl_nats}
        return {"kl_nats": self.kl_nats, **further}

    def measure(self, adapter: Adapter) -> OwnCompletions:
        """On the same prompts with the same draws."""
        return measure(
            self.transformer, adapter, self.prompts, self.config, seed=self.seed, poll=self.poll, start=self.start
        )

    def figures(self) -> dict[str, float]:
        """Of the newest measurement, once."""
        newest, self.newest = self.newest, None
        return newest.named() if newest is not None else {}

    def _restore(self, saved: tuple[Mapping[str, torch.Tensor], Mapping[str, Any]] | None) -> None:
        if saved is not None:
            tensors, values = saved
            self._weights = [tensors[str(index)] for index in range(len(tensors))]
            self.steps, self.kl_nats = int(values["steps"]), float(values["kl_nats"])
            self.anchor_kl_nats = values.get("anchor_kl_nats")
