"""Samples completions in batches and returns the trunk states, which every later pass over the tokens reuses.

One prefill serves all completions of a prompt.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from rlhf.training import processes
from rlhf.training.model.adapter import Adapter
from rlhf.training.model.decoder import Decoder
from rlhf.training.model.rollout import Rollout, gather, join


def sample(
    transformer: Decoder,
    prompts: Sequence[Sequence[int]],
    *,
    completions_per_prompt: int = 1,
    max_tokens: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int,
    adapter: Adapter | None = None,
    batch_rows: int = 64,
    keep_states: bool = True,
    keep_log_probs: bool = False,
) -> Rollout:
    """Completions of each prompt, in the prompts' order, those of one prompt side by side.

    `temperature` 0 is greedy. The draw of a row depends on the seed and the row alone, not on `batch_rows`.
    Several processes sample some of the prompts each, and all get every row.
    """
    if keep_log_probs and (temperature == 0 or top_p < 1):
        raise ValueError("log-probs are those of plain sampling, at a temperature above 0 and without top_p")
    if not prompts or not all(prompts):
        raise ValueError("sampling needs at least one prompt, and no prompt may be empty")
    own = processes.block(len(prompts))
    here = own if own.start < own.stop else slice(0, 1)
    with torch.no_grad(), transformer.gathered():
        weights = transformer.fast_top(adapter)
        noise = _uniforms(len(prompts) * completions_per_prompt, max_tokens, seed)
        at_once = max(1, batch_rows // completions_per_prompt)
        parts = []
        for start in range(here.start, here.stop, at_once):
            rows = slice(start * completions_per_prompt, min(start + at_once, here.stop) * completions_per_prompt)
            batch = transformer.grow(
                prompts[start : min(start + at_once, here.stop)],
                copies=completions_per_prompt,
                max_tokens=max_tokens,
                weights=weights,
            )
            parts.append(
                batch.run(noise[rows], temperature, top_p, keep_states=keep_states, keep_log_probs=keep_log_probs)
            )
        rollout = join(parts)
    return gather(rollout, own) if processes.count() > 1 else rollout


def _uniforms(rows: int, steps: int, seed: int) -> Tensor:
    """[rows, steps] numbers in [0, 1), fp64: one decides one token."""
    return torch.rand(rows, steps, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
