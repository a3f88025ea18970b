"""The settings of one PPO run, each with its meaning; stored as JSON with the run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rlhf.training.hyperparameters import build, require


@dataclass(frozen=True)
class PpoConfig:
    """Defaults: the profile measured on two CPU cores. Names are TRL's where TRL has the setting."""

    iterations: int = 24  # rollout-and-update rounds; the KL stop may come first
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
    kl_controller: str = "proportional"  # or "integral": the KL settles at the target, not somewhat above it
    kl_integral: float = 0.2  # share of the error that the integral takes up each iteration
    stop_kl: float = 7.5  # smoothed nats a completion at which the run ends with the weights of the iteration before
    reference: str = "anchor"  # what the KL is measured from: the base below all adapters, or the "live" policy
    kl_growth: float = 1.5  # nats by which a run may go further than it begins, where target_kl is less than that
    score_clip: float = (
        1.5  # normalised scores are cut to +- this (PPO-max, arXiv:2307.04964); 3 spent the KL on brevity
    )
    score_weight: float = 1.0  # of the normalised score; 0 leaves the rules alone
    violation_weight: float = 3.0  # reward lost at P(violation) = 1; 6 cut as many, and won less often
    violation_mode: str = "fixed"  # or "lagrangian": a weight for each rule group that holds its mean at the target
    violation_target: float = 0.05  # mean P(violation) of each group of rules that the Lagrangian aims at
    lagrange_start: float = 6.0  # the groups' weights before the first rollout
    lagrange_rate: float = 2.0  # by how much the logarithm of a weight rises an iteration at an excess of 1
    lagrange_damping: float = 6.0  # by how much it is higher while that excess lasts
    fragments: bool = True  # completions without an EOS are scored as whole ones are; else each as the lowest score
    missing_eos_penalty: float = 0.5  # reward lost without an EOS: a designer's wish, no human's; 0 turns it off
    short_words: int = 6  # completions below this were never seen by the reward model; a row of emoji has none
    short_penalty: float = 2.0  # reward lost by a completion without a word, less the nearer it comes to short_words
    sentence_penalty: float = 1.0  # reward lost by a completion without a sentence, beside short_penalty
    alarm_patience: int = 3  # iterations in a row that an alarm needs to end the run at the best one; 0: no alarms
    alarm_watch_fall: float = 0.4  # fall of the watching judge's score below its best, in spreads, while reward rises
    alarm_entropy: float = 0.15  # least entropy a token, relative to the first iteration's
    alarm_length_min: float = 0.15  # least mean length, relative to the first iteration's
    alarm_length_max: float = 2.5  # greatest mean length, relative to the first iteration's
    alarm_value_loss: float = 20.0  # greatest value loss, relative to the median of the iterations before
    watch_every: int = 2  # iterations between two measurements by the watching judge, where there is one
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
        for name, known in (("violation_mode", MODES), ("kl_controller", CONTROLLERS), ("reference", REFERENCES)):
            require(getattr(self, name) in known, name, getattr(self, name), f"must be one of {', '.join(known)}")
        require(self.violation_target <= 1, "violation_target", self.violation_target, "must be at most 1")
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


MODES = ("fixed", "lagrangian")
REFERENCES = ("anchor", "live")
CONTROLLERS = ("proportional", "integral")
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
    "watch_every",
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
    "violation_target",
    "lagrange_start",
    "lagrange_rate",
)
NOT_NEGATIVE = (
    "kl_coef",
    "kl_gain",
    "kl_growth",
    "score_weight",
    "violation_weight",
    "missing_eos_penalty",
    "short_words",
    "short_penalty",
    "sentence_penalty",
    "kl_integral",
    "lagrange_damping",
    "alarm_patience",
    "alarm_watch_fall",
    "alarm_entropy",
    "alarm_length_min",
    "alarm_length_max",
    "alarm_value_loss",
)
