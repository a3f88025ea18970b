"""What the fake vLLM answers where it has a tiny base: completions really sampled, as token ids with log-probs."""

from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from rlhf.training.model import sampler
from rlhf.training.model.adapter import Adapter
from rlhf.training.model.scoring import score_completions
from rlhf.training.model.transformer import Transformer


@cache
def _base(folder: Path) -> Transformer:
    torch.set_num_threads(1)
    whole = Transformer.load(folder, dtype=torch.float32)
    return Transformer.load(folder, dtype=torch.float32, adapted_layers=whole.config.layers)


def _of_a_seed_each(rows: int, steps: int, seed: int) -> torch.Tensor:
    """vLLM counts the seed of a request on for each of its completions."""
    made = (torch.Generator().manual_seed(seed + row) for row in range(rows))
    return torch.stack([torch.rand(steps, generator=one, dtype=torch.float64) for one in made])


def choices(
    base: Path, adapter: Path | None, body: dict[str, Any], *, shift: float, is_tempered: bool
) -> list[dict[str, Any]]:
    """As vLLM lists them of one prompt; `shift` is added to the log-probs."""
    transformer = _base(base)
    lora = Adapter.load_onto(adapter, transformer, seed=0) if adapter is not None else None
    asked = {name: body[name] for name in ("top_p", "top_k", "min_p", "repetition_penalty")}
    assert asked == {"top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
    assert set(body["stop_token_ids"]) == set(transformer.config.eos)
    with mock.patch.object(sampler, "_uniforms", _of_a_seed_each):
        rollout = sampler.sample(
            transformer,
            [body["prompt"]],
            completions_per_prompt=body["n"],
            max_tokens=body["max_tokens"],
            temperature=body["temperature"],
            seed=body["seed"],
            adapter=lora,
            keep_log_probs=True,
        )
    log_probs = rollout.completion_log_probs()
    if not is_tempered:
        log_probs = score_completions(
            transformer, rollout, lora, [torch.arange(len(rollout))], temperature=1.0
        ).log_probs
    lengths = rollout.completion_lengths.tolist()
    start = len(body["prompt"])
    return [
        {
            "index": index,
            "text": "",
            "finish_reason": "stop" if bool(rollout.ended[index]) else "length",
            "token_ids": rollout.ids[index, start : start + length].tolist(),
            "prompt_token_ids": body["prompt"],
            "logprobs": {"token_logprobs": (log_probs[index, :length] + shift).tolist()},
        }
        for index, length in enumerate(lengths)
    ]
