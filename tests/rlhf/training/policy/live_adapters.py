"""Policies that are an adapter over a base, as a cycle leaves them, without training."""

from pathlib import Path

import torch

from rlhf.training.artefacts import policy_directory
from rlhf.training.artefacts.policy_directory import Provenance
from rlhf.training.model.adapter import Adapter
from rlhf.training.model.transformer import Transformer


def updated(transformer: Transformer, spread: float, *, start: Adapter | None = None, seed: int = 1) -> Adapter:
    """An adapter whose B moved by draws of this spread."""
    adapter = start.copy() if start is not None else Adapter.create(transformer, rank=2, alpha=4.0)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in adapter.parameters():
            if tensor.shape[1] == 2:
                tensor += torch.randn(tensor.shape, generator=random) * spread
    return adapter


def publish(target: Path, base: Path, adapter: Adapter, served: str = "f32") -> Path:
    weights = policy_directory.weights(base)
    state = weights | adapter.merged_matrices(weights)
    about = Provenance("x", {})
    return policy_directory.publish(target, about, base=base, state=state, served=served, adapter=adapter)
