"""The settings of one PPO run, each with its meaning; stored as JSON with the run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rlhf.training.hyperparameters import build, require


@dataclass(frozen=True)
class PpoConfig:
    """Defaults: the profile measured on two CPU cores. Names are TRL's where TRL has the setting."""

    iterations: int = 18  # rollout-and-update rounds; the KL stop may come first
    prompts_per_iteration: int = 16  # different prompts in one rollout
    completions_per_prompt: int = 4  # sampled from one shared prefill
    max_prompt_tokens: int = 512  # below the site's context: a rollout holds the caches of all its prompts at once
    max_tokens: int = 48  # length limit of a completion, EOS included
    temperature: float = 0.7  # divides the logits in the sampler and in every scoring pass
    sample_rows: int = 64  # rows that grow together in the sampler
    learning_rate: float = 5e-4  # Adam, at the start; a constant 1e-3 collapsed into empty replies in ten iterations
    anneal: bool = True  # learning rate falls linearly to 0 over the iterations, so that the end is no rush of KL
    num_ppo_epochs: int = 1  # passes over one rollout
    minibatch_rows: int = 16  # completions a gradient step
    cliprange: float = 0.2  # ratio clipping (arXiv:1707.06347, equation 7)
    importance_sampling_cap: float = 2.0  # a token's loss is weighted by p(scorer) / p(sampler), at most by this
    cliprange_value: float = 0.2  # how far (root mean square) a refit may move the values
    gamma: float = 1.0  # discount a token
    lam: float = 0.95  # GAE's lambda
    whiten_rewards: bool = False  # divide token rewards by their spread
    kl_coef: float = 0.05  # beta up to the target, nats to reward; never less
    target_kl: float = 5.5  # nats a completion: the further the smoothed KL heads above it, the larger beta
    kl_gain: float = 2.0  # beta is kl_coef * e^kl_gain where the KL ahead is twice the target
    stop_kl: float = 7.5  # smoothed nats a completion at which the run ends with the weights of the iteration before
    score_clip: float = (
        1.5  # normalised scores are cut to +- this (PPO-max, arXiv:2307.04964); 3 spent the KL on brevity
    )
    score_weight: float = 1.0  # of the normalised score; 0 leaves the rules alone
    violation_weight: float = 6.0  # reward lost at P(violation) = 1; noisy flags keep P of most breaches below 0.7
    missing_eos_penalty: float = 0.5  # reward lost without an EOS: a designer's wish, no human's; 0 turns it off
    short_words: int = 6  # completions below this were never seen by the reward model; a row of emoji has none
    short_penalty: float = 2.0  # reward lost by a completion without a word, less the nearer it comes to short_words
    max_grad_norm: float = 1.0  # gradients are scaled down to this norm
    adam_epsilon: float = 1e-5  # arXiv:2403.17031: the default 1e-8 makes the early steps too large
    rank: int = 16  # LoRA's r
    alpha: float = 32.0  # LoRA's alpha
    ridge: float = 0.5  # strength of the value's regulariser; 0.1..1 predicted best, measured on 384 completions
    calibration_prompts: int = 32  # prompts whose base completions set the scores' mean and spread

    def validate(self) -> None:
        """Raise BadHyperparameter for the first setting out of range."""
        for name in COUNTS:
            require(getattr(self, name) >= 1, name, getattr(self, name), "must be a whole number of at least 1")
        for name in POSITIVE:
            require(getattr(self, name) > 0, name, getattr(self, name), "must be above 0")
        for name in NOT_NEGATIVE:
            require(getattr(self, name) >= 0, name, getattr(self, name), "must be 0 or more")
        for name in ("gamma", "lam"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "must be within 0..1")
        above = self.stop_kl > self.target_kl
        require(above, "stop_kl", self.stop_kl, f"must be above target_kl ({self.target_kl})")

    @property
    def rows(self) -> int:
        """Completions in one rollout."""
        return self.prompts_per_iteration * self.completions_per_prompt

    @classmethod
    def read(cls, settings: Mapping[str, Any]) -> "PpoConfig":
        """From a run's JSON. Raises BadHyperparameter for an unknown name, a wrong type or a value out of range."""
        return build(cls, settings)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


COUNTS = (
    "iterations",
    "prompts_per_iteration",
    "completions_per_prompt",
    "max_prompt_tokens",
    "max_tokens",
    "sample_rows",
    "num_ppo_epochs",
    "minibatch_rows",
    "rank",
    "calibration_prompts",
)
POSITIVE = (
    "temperature",
    "learning_rate",
    "cliprange",
    "importance_sampling_cap",
    "cliprange_value",
    "target_kl",
    "score_clip",
    "max_grad_norm",
    "adam_epsilon",
    "alpha",
    "ridge",
)
NOT_NEGATIVE = (
    "kl_coef",
    "kl_gain",
    "score_weight",
    "violation_weight",
    "missing_eos_penalty",
    "short_words",
    "short_penalty",
)
