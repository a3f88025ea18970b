"""Titles and units of the metrics that training reports, for the curves on pages."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

TITLES: dict[str, str | Promise] = {
    "objective/rlhf_reward": _("Reward"),
    "reward": _("Reward"),
    "reward/best": _("Reward of the best completions"),
    "objective/kl": _("KL, nats per reply"),
    "objective/kl_live": _("KL from where training started"),
    "objective/kl_anchor": _("KL from the base below all adapters"),
    "reward/violation": _("Rule violations"),
    "loss": _("Loss"),
    "accuracy": _("Accuracy on pairs"),
    "held_out/accuracy": _("Accuracy on held-out pairs"),
    "flag/loss": _("Loss on rule labels"),
    "flag/accuracy": _("Accuracy on rule labels"),
    "objective/scores": _("Score"),
    "length/mean": _("Length, tokens"),
    "completions/mean_length": _("Length, tokens"),
    "eos_rate": _("Replies that end by themselves"),
    "objective/entropy": _("Entropy"),
    "margin": _("Margin"),
    "loss/policy_avg": _("Policy loss"),
    "watch/score": _("Score of the held-out judge, which does not train"),
    "sampler/nats": _("Sampler to scorer, nats per token"),
    "sampler/kl": _("KL of sampler to scorer, nats per token"),
    "sampler/capped": _("Tokens whose importance weight was cut"),
    "rollout/tokens_per_second": _("Rollouts, tokens per second"),
    "kl": _("KL"),
    "entropy": _("Entropy"),
    "canary/win_rate": _("Win rate of the candidate"),
    "leaderboard/rating": _("Rating"),
}
"""Names as TRL and our PPO report them; their order is the order of the curves."""
SCORE = _("standard deviations of the score")
SHARE = _("share, 0 to 1")
PROBABILITY = _("mean probability, 0 to 1")
NATS = _("nats")
NATS_PER_REPLY = _("nats per reply")
NATS_PER_TOKEN = _("nats per token")
SECONDS = _("seconds")
MEGABYTES = _("megabytes")
RAW_SCORE = _("points of the score, not yet normalised")
UNITS: dict[str, str | Promise] = {
    "objective/rlhf_reward": SCORE,
    "objective/non_score_reward": SCORE,
    "objective/scores": SCORE,
    "reward": SCORE,
    "reward/best": SCORE,
    "reward/score": SCORE,
    "watch/score": SCORE,
    "canary/win_rate": SHARE,
    "leaderboard/rating": _("points"),
    "reward/violation_penalty": SCORE,
    "reward/missing_eos_penalty": SCORE,
    "reward/short_penalty": SCORE,
    "reward/violation": PROBABILITY,
    "objective/kl_live": NATS_PER_REPLY,
    "objective/kl_anchor": NATS_PER_REPLY,
    "objective/kl_target": NATS_PER_REPLY,
    "objective/kl_smoothed": NATS_PER_REPLY,
    "objective/entropy": NATS_PER_REPLY,
    "policy/entropy_avg": NATS_PER_TOKEN,
    "sampler/nats": NATS_PER_TOKEN,
    "sampler/nats_max": NATS_PER_TOKEN,
    "sampler/kl_max": NATS_PER_TOKEN,
    "sampler/capped": SHARE,
    "kl": NATS_PER_TOKEN,
    "entropy": NATS_PER_TOKEN,
    "loss": NATS,
    "flag/loss": NATS,
    "accuracy": SHARE,
    "held_out/accuracy": SHARE,
    "flag/accuracy": SHARE,
    "win_rate": SHARE,
    "eos_rate": SHARE,
    "margin": RAW_SCORE,
    "mean_reward": RAW_SCORE,
    "min_reward": RAW_SCORE,
    "max_reward": RAW_SCORE,
    "seconds": SECONDS,
    "memory_mb": MEGABYTES,
}
"""Of those whose title does not name it."""


BY_START: dict[str, str | Promise] = {"seconds/": SECONDS, "violation/": PROBABILITY, "lagrange/": SCORE}
GROUP_TITLES: dict[str, str | Promise] = {
    "violation/": _("Rule violations: %(group)s"),
    "lagrange/": _("Weight of rule violations: %(group)s"),
}


def unit_of(name: str) -> str | Promise:
    """Nothing where a metric is a bare number, such as a learning rate or a ratio."""
    for start, unit in BY_START.items():
        if name.startswith(start):
            return unit
    return UNITS.get(name, "")


def title_of(name: str) -> str | Promise:
    """Of a metric of a rule group, the words with the group's key."""
    for start, words in GROUP_TITLES.items():
        if name.startswith(start):
            return words % {"group": name.removeprefix(start)}
    return TITLES.get(name, name)
