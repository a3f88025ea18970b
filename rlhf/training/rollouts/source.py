"""Where the completions of a rollout come from, and what is asked for there: a process samples itself by default."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from rlhf.training.model.adapter import Adapter
from rlhf.training.model.decoder import Decoder
from rlhf.training.model.rollout import Rollout
from rlhf.training.model.sampler import sample
from rlhf.training.rollouts.mismatch import Mismatch


@dataclass(frozen=True)
class RolloutSampling:
    """Draws from the whole vocabulary, until an end token, which is kept, or the length limit."""

    completions_per_prompt: int
    max_tokens: int
    temperature: float
    """Above 0."""


class RolloutSource(Protocol):
    """Something that samples from the policy in training."""

    def roll_out(
        self,
        prompts: Sequence[Sequence[int]],
        adapter: Adapter,
        sampling: RolloutSampling,
        *,
        seed: int,
        poll: Callable[[], None],
    ) -> Rollout:
        """Completions of each prompt, in the prompts' order, those of one prompt side by side, with trunk states and
        the sampler's log-probs. `poll` is called while others are waited for, and may raise to stop."""
        ...

    def judge(self, mismatch: Mismatch) -> None:
        """Of each rollout that is scored, before anything is made of it. Raises AnotherModelSampled."""
        ...


class OwnSampler:
    """The sampler of this process."""

    def __init__(self, transformer: Decoder, *, batch_rows: int) -> None:
        """`batch_rows`: completions that grow together."""
        self._transformer, self._batch_rows = transformer, batch_rows

    def roll_out(
        self,
        prompts: Sequence[Sequence[int]],
        adapter: Adapter,
        sampling: RolloutSampling,
        *,
        seed: int,
        poll: Callable[[], None],
    ) -> Rollout:
        return sample(
            self._transformer,
            prompts,
            completions_per_prompt=sampling.completions_per_prompt,
            max_tokens=sampling.max_tokens,
            temperature=sampling.temperature,
            seed=seed,
            adapter=adapter,
            batch_rows=self._batch_rows,
            keep_log_probs=True,
        )

    def judge(self, mismatch: Mismatch) -> None:
        """It holds the very model that scores, so that whatever they are apart is rounding, which is weighed."""
