"""Hyperparameters of a fine-tune, and the values chosen from the data where none is given."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlhf.training.hyperparameters import build, require

METHODS = ("supervised", "dpo", "reinforcement")
SCOPES = ("head", "blocks", "lora", "full")
FORMS = ("prompt_completion", "messages", "preference")

SHARES = {"head": 1.0, "blocks": 0.1, "lora": 1.0, "full": 0.1}
"""Of LoRA's learning rate: scopes that train the model's own matrices need smaller steps."""
RATE = 0.6
"""LoRA's learning rate times the hidden size: 1e-3 at 576, 1.5e-4 at 4,096."""
DPO_SHARE = 0.2
"""Of the supervised rate: DPO's gradient never ends, it only fades."""


@dataclass(frozen=True)
class FineTuneConfig:
    """None: chosen by the data. Names are OpenAI's where OpenAI has the setting."""

    n_epochs: int | None = None
    batch_size: int | None = None
    learning_rate_multiplier: float | None = None
    prompt_loss_weight: float = 0.0  # of a prompt's tokens beside a completion's (rows of prompt and completion)
    beta: float = 0.1  # of DPO: how strongly distance from the base is penalised
    rank: int = 16  # LoRA's r
    alpha: float = 32.0  # LoRA's alpha
    layers: int | None = None  # from the top, for LoRA (None: all) and blocks (None: a sixth of them)
    max_tokens: int = 1024  # of a row; longer ones are cut
    warmup_share: float = 0.05  # of the steps, in which the rate rises from 0
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    checkpoint_seconds: float = 30.0  # at most so much work is lost to a kill; 0: none
    shots: int = 8  # examples in the prompt of the few-shot comparison, as far as they fit

    def validate(self) -> None:
        """Raise BadHyperparameter for the first setting out of range."""
        for name in ("n_epochs", "batch_size", "layers"):
            value = getattr(self, name)
            whole = value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 1)
            require(whole, name, value, "must be a whole number of at least 1")
        multiplier = self.learning_rate_multiplier
        good = multiplier is None or (isinstance(multiplier, int | float) and 0 < multiplier < math.inf)
        require(good, "learning_rate_multiplier", multiplier, "must be above 0")
        for name in ("rank", "shots"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "must be at least 1")
        require(self.max_tokens >= 8, "max_tokens", self.max_tokens, "must be at least 8")
        for name in ("beta", "alpha", "max_grad_norm"):
            require(getattr(self, name) > 0, name, getattr(self, name), "must be above 0")
        for name in ("weight_decay", "checkpoint_seconds"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "must be 0 or more")
        for name in ("prompt_loss_weight", "warmup_share"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "must be within 0..1")

    @classmethod
    def read(cls, settings: Mapping[str, Any]) -> "FineTuneConfig":
        """From a run's JSON, in which null and "auto" mean: choose by the data. Raises BadHyperparameter."""
        return build(cls, {name: value for name, value in settings.items() if value not in (None, "auto")})


@dataclass(frozen=True)
class TrainingPlan:
    """The numbers that a run trains by."""

    n_epochs: int
    batch_size: int
    learning_rate_multiplier: float
    learning_rate: float
    items: int

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(self.items / self.batch_size)

    @property
    def steps(self) -> int:
        return self.n_epochs * self.steps_per_epoch


def choose(config: FineTuneConfig, *, items: int, hidden_size: int, scope: str, method: str) -> TrainingPlan:
    """The plan for `items` rows or pairs."""
    multiplier = float(config.learning_rate_multiplier or 1.0)
    share = SHARES[scope] * (DPO_SHARE if method == "dpo" else 1.0)
    return TrainingPlan(
        n_epochs=config.n_epochs or epochs_for(items, method),
        batch_size=min(config.batch_size or batch_for(items), items),
        learning_rate_multiplier=multiplier,
        learning_rate=multiplier * share * RATE / hidden_size,
        items=items,
    )


def batch_for(items: int) -> int:
    """A fiftieth of the rows, within 1..32."""
    return min(max(items // 50, 1), 32)


def epochs_for(items: int, method: str) -> int:
    """More where there are fewer rows, so that few are learnt by heart and many do not take days."""
    if method == "dpo":
        return min(max(round(600 / items), 1), 4)
    return min(max(round(1600 / items), 3), 15)
