"""What a Tinker server is told to learn from scored completions, and the adapter that it gives back."""

import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from safetensors.torch import load
from torch import Tensor

from rlhf.training.model.adapter import CONFIG_FILE, WEIGHTS_FILE, Adapter, AdapterMismatch
from rlhf.training.model.decoder import Decoder
from rlhf.training.rollouts.completions import ServerCompletion
from rlhf.training.tinker.wire import LearntSequence

LOSS = "importance_sampling"
"""The protocol's name of -advantage * p(now) / p(as drawn), whose gradient before the first step is REINFORCE's."""
SPREAD_FLOOR = 1e-4
ALPHA = 32.0
"""LoRA's alpha at every server of the protocol: a request can't say another."""
LARGEST = 1 << 32
"""Bytes of an adapter; more are no adapter of a model that this machine could merge it into."""


def advantages(rewards: Tensor, algorithm: str) -> Tensor:
    """Of [P, K] rewards of the K completions of each prompt.

    RLOO (arXiv:2402.14740, section 3.3): less the mean of the others. GRPO (arXiv:2402.03300, section 4.1.2): less
    the mean, over the spread, with TRL's floor.
    """
    mean = rewards.mean(1, keepdim=True)
    if algorithm == "rloo":
        apart = rewards.shape[1]
        return (rewards - mean) * apart / (apart - 1)
    return (rewards - mean) / (rewards.std(1, keepdim=True) + SPREAD_FLOOR)


def example(prompt: Sequence[int], made: ServerCompletion, advantage: float) -> LearntSequence:
    """Every token but the last is read, every one but the first is a target; those of the prompt count nothing."""
    ids, before = [*prompt, *made.ids], len(prompt) - 1
    nothing = [0.0] * before
    return LearntSequence(
        tokens=ids[:-1],
        targets=ids[1:],
        weights=[*nothing, *[1.0] * len(made.ids)],
        log_probs=[*nothing, *made.log_probs],
        advantages=[*nothing, *[advantage] * len(made.ids)],
    )


@dataclass(frozen=True)
class SavedAdapter:
    """As a server's archive has it."""

    rank: int
    alpha: float
    state: dict[str, Tensor]

    @classmethod
    def read(cls, archive: bytes) -> "SavedAdapter":
        """Of a gzipped tar with PEFT's two files; nothing is unpacked. Raises AdapterMismatch."""
        try:
            with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as found:
                config = json.loads(_member(found, CONFIG_FILE))
                state = {name: one.float() for name, one in load(_member(found, WEIGHTS_FILE)).items()}
                return cls(int(config["r"]), float(config["lora_alpha"]), state)
        except (tarfile.TarError, OSError, ValueError, KeyError) as error:
            raise AdapterMismatch(f"the server's archive can't be read: {error!r}") from error

    def onto(self, transformer: Decoder) -> Adapter:
        """`transformer`: without a trunk, for the server changes every layer. Raises AdapterMismatch."""
        made = Adapter.create(transformer, rank=self.rank, alpha=self.alpha)
        made.load_state({name: tensor.to(transformer.device) for name, tensor in self.state.items()})
        if not all(bool(torch.isfinite(tensor).all()) for tensor in made.parameters()):
            raise AdapterMismatch("it holds numbers that are not finite")
        return made


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    """The file of that name in any folder."""
    for member in archive:
        if member.isfile() and member.name.rpartition("/")[2] == name and member.size < LARGEST:
            opened = archive.extractfile(member)
            return opened.read() if opened else b""
    raise KeyError(name)
