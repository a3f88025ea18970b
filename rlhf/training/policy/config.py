"""Settings of the ways beside PPO. Defaults of what they share are PPO's, so that they differ by how they learn."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from rlhf.training.fine_tuning.config import FineTuneConfig
from rlhf.training.hyperparameters import build, require
from rlhf.training.ppo.config import REFERENCES, PpoConfig
from rlhf.training.reward.fit import RewardModelConfig


@dataclass(frozen=True)
class WayConfig:
    """Settings of every way."""

    max_prompt_tokens: int = PpoConfig.max_prompt_tokens
    max_tokens: int = PpoConfig.max_tokens  # length limit of a sampled completion, EOS included
    temperature: float = PpoConfig.temperature
    learning_rate: float = 2e-4  # at the start
    rank: int = PpoConfig.rank  # LoRA's r
    alpha: float = PpoConfig.alpha  # LoRA's alpha
    max_grad_norm: float = PpoConfig.max_grad_norm
    stop_kl: float = PpoConfig.stop_kl  # nats a completion; past it the weights before are published
    reference: str = PpoConfig.reference  # what the KL is measured from, and what the loss compares with
    kl_growth: float = (
        3.5  # nats from where a run that goes on begins to its stop, at least; PPO's growth and distance
    )
    kl_prompts: int = 48  # prompts whose completions KL is measured on, where training makes none of its own

    def validate(self) -> None:
        """Raise BadHyperparameter for the first setting out of range."""
        self._at_least(1, "max_prompt_tokens", "max_tokens", "rank", "kl_prompts")
        self._above_zero("temperature", "learning_rate", "alpha", "max_grad_norm", "stop_kl")
        self._not_negative("kl_growth")
        require(self.reference in REFERENCES, "reference", self.reference, f"must be one of {', '.join(REFERENCES)}")

    def stop_after(self, start_kl: float | None) -> float:
        """The KL stop of a run that begins so far from its reference; None: at the reference itself."""
        return self.stop_kl if start_kl is None else max(self.stop_kl, start_kl + self.kl_growth)

    @classmethod
    def read(cls, settings: Mapping[str, Any]) -> Self:
        """From a run's JSON; TRL's name for the length limit is understood, too. Raises BadHyperparameter."""
        return build(cls, {TRL_NAMES.get(name, name): value for name, value in settings.items()})

    def _at_least(self, least: int, *names: str) -> None:
        for name in names:
            require(getattr(self, name) >= least, name, getattr(self, name), f"must be at least {least}")

    def _above_zero(self, *names: str) -> None:
        for name in names:
            require(getattr(self, name) > 0, name, getattr(self, name), "must be above 0")

    def _not_negative(self, *names: str) -> None:
        for name in names:
            require(getattr(self, name) >= 0, name, getattr(self, name), "must not be negative")


TRL_NAMES = {"max_completion_length": "max_tokens"}


@dataclass(frozen=True)
class RewardedConfig(WayConfig):
    """Settings of the ways that maximise the reward: its parts are PPO's, by default with PPO's weights."""

    calibration_prompts: int = PpoConfig.calibration_prompts
    score_clip: float = PpoConfig.score_clip
    score_weight: float = PpoConfig.score_weight
    violation_weight: float = PpoConfig.violation_weight
    missing_eos_penalty: float = PpoConfig.missing_eos_penalty
    short_words: int = PpoConfig.short_words
    short_penalty: float = PpoConfig.short_penalty

    def validate(self) -> None:
        super().validate()
        self.reward()

    def reward(self) -> PpoConfig:
        """PPO's settings with this reward and these lengths. Raises BadHyperparameter."""
        common = {field.name for field in fields(PpoConfig)} & {field.name for field in fields(RewardedConfig)}
        left_out = {"stop_kl", "learning_rate", "kl_growth"}  # PPO's must be above its own target
        return build(PpoConfig, {name: getattr(self, name) for name in common - left_out})


@dataclass(frozen=True)
class FittedConfig(WayConfig):
    """Settings of the ways that fit an adapter to given completions."""

    n_epochs: int = 1
    batch_size: int = 8
    warmup_share: float = 0.05  # of the steps, in which the rate rises from 0; then it falls to 0
    weight_decay: float = 0.0
    adapted_layers: int = RewardModelConfig.adapted_layers  # layers from the top that the adapter changes
    kl_checks: int = 6  # how often KL is measured in a run
    checkpoint_seconds: float = 30.0  # at most so much work is lost to a kill

    def validate(self) -> None:
        super().validate()
        self._at_least(1, "n_epochs", "batch_size", "adapted_layers", "kl_checks")
        self._not_negative("weight_decay", "checkpoint_seconds")
        require(0 <= self.warmup_share <= 1, "warmup_share", self.warmup_share, "must be within 0..1")

    def fine_tuning(self) -> FineTuneConfig:
        """The same for the loop of a fine-tune."""
        return FineTuneConfig(
            rank=self.rank,
            alpha=self.alpha,
            layers=self.adapted_layers,
            warmup_share=self.warmup_share,
            weight_decay=self.weight_decay,
            max_grad_norm=self.max_grad_norm,
            checkpoint_seconds=self.checkpoint_seconds,
        )
