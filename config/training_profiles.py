"""Defaults of training by the machine that trains: a CPU, a card, or several; a setting of one's own wins over each.

Those of a CPU were measured on two cores. No card was at hand: those of cards are taken from papers, or computed from
the sizes of a model of seven billion parameters.
"""

from dataclasses import dataclass
from typing import Any

from rlhf.runs import devices

AUTO, CPU, GPU, MULTI_GPU = NAMES = ("auto", "cpu", "gpu", "multi-gpu")


@dataclass(frozen=True)
class ProfileDefault:
    """One default: a variable, or a hyperparameter of PPO, with its value under each profile."""

    name: str
    cpu: Any
    gpu: Any
    multi_gpu: Any
    source: str

    def under(self, profile: str) -> Any:
        return {CPU: self.cpu, GPU: self.gpu, MULTI_GPU: self.multi_gpu}[profile]


PLACEMENT = (
    ProfileDefault(
        "backend",
        "auto",
        "auto",
        "auto",
        "on a card it is transformers; Chamsae's own Llama was made for CPUs: 12 times as fast there as TRL's PPO "
        "(`make bench-ppo`)",
    ),
    ProfileDefault(
        "dtype", "bf16", "bf16", "bf16", "the type in which models are published; adapters are fp32 beside it"
    ),
    ProfileDefault("bits", 16, 16, 16, "fewer need bitsandbytes, which is no dependency"),
    ProfileDefault(
        "checkpointing",
        False,
        True,
        True,
        "arXiv:1604.06174: one more forward pass instead of what layers keep; a minibatch of a model of 7 billion "
        "keeps 58 GB without it, 8 GB with it",
    ),
)
PPO = (
    ProfileDefault(
        "prompts_per_iteration",
        16,
        128,
        128,
        "a CPU: measured; cards: 512 completions an iteration (arXiv:2203.02155, appendix C.4), four a prompt",
    ),
    ProfileDefault("completions_per_prompt", 4, 4, 4, "measured on a CPU; as many as people rank"),
    ProfileDefault(
        "minibatch_rows",
        16,
        64,
        64,
        "a CPU: measured; cards: arXiv:2203.02155, appendix C.4. The batch of all processes together",
    ),
    ProfileDefault(
        "sample_rows",
        64,
        128,
        128,
        "a CPU: measured; cards: the keys and values of 128 rows of 224 tokens take 15 GB of a model of 7 billion "
        "without grouped heads",
    ),
)


@dataclass(frozen=True)
class Profile:
    name: str

    @property
    def placement(self) -> dict[str, Any]:
        """By the names of rlhf.training.model.choice.Placement."""
        return {row.name: row.under(self.name) for row in PLACEMENT}

    @property
    def ppo(self) -> dict[str, Any]:
        """Hyperparameters of PPO; the other ways keep their own, whose batches depend on the data."""
        return {row.name: row.under(self.name) for row in PPO}


def choose(asked: str, device: str) -> Profile:
    """`auto` takes that of one card where there is one of NVIDIA's that torch can use, else the CPU's: several take
    processes of their own, which somebody has to set up."""
    if asked != AUTO:
        return Profile(asked)
    return Profile(CPU if devices.is_on_cpu(device) else GPU)
