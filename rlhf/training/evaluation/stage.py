"""The evaluate stage: a policy against a baseline on held-out prompts, beside controls that expose cheap wins."""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from rlhf.training.evaluation import judge_report, judges, pairs, reply_rows, violation_labels
from rlhf.training.evaluation.judged import AnchorReplies, Replies, judge_replies
from rlhf.training.evaluation.players import Draw, Player, human_text_nll
from rlhf.training.evaluation.report import describe
from rlhf.training.evaluation.shared_trunks import SharedTrunks
from rlhf.training.hyperparameters import build, require
from rlhf.training.reward import model as reward_model
from rlhf.training.run import RunDirectory
from rlhf.training.snapshot.files import HELD_OUT, BadSnapshot, PromptRow, SnapshotFiles
from rlhf.training.snapshot.fitting import fit_prompts
from rlhf.training.tokens import ChatTokenizer

PHASES = 5
DIGEST_LENGTH = 16
MORE_SEEDS = 1_000_000
"""Apart from all seeds of the other draws."""
PACKAGES = ("torch", "transformers", "numpy")
"""Their versions are part of a report: another one may sample other replies from the same seed."""


@dataclass(frozen=True)
class EvaluationConfig:
    """How much is sampled. Each prompt's draws 0.. compete, those after them serve the null control."""

    temperature: float = 0.7
    max_tokens: int = 48
    max_prompt_tokens: int = 2048
    """As much as the site's whole context: prompts as they are served."""
    prompts: int = 160
    """At most so many held-out prompts, chosen by the seed."""
    draws: int = 2
    """Replies a prompt on each side of a comparison."""
    violation_draws: int = 8
    """Replies of each policy to a prompt that elicits violations, those of the comparison among them."""
    best_of: int = 8
    best_of_prompts: int = 80
    samples: int = 16
    """Rows of each table of replies before and after: those drawn at random, and the worst."""

    def validate(self) -> None:
        """Raise BadHyperparameter."""
        counts = ("prompts", "draws", "violation_draws", "best_of", "best_of_prompts")
        for name in ("max_tokens", "max_prompt_tokens", *counts):
            require(getattr(self, name) >= 1, name, getattr(self, name), "must be at least 1")
        require(self.samples >= 0, "samples", self.samples, "must not be negative")
        require(self.temperature > 0, "temperature", self.temperature, "must be above 0")


def run(directory: RunDirectory) -> dict[str, Any]:
    config = build(EvaluationConfig, directory.hyperparameters)
    tokenizer = ChatTokenizer.load(directory.directory("policy"))
    fitted = fit_prompts(SnapshotFiles.load(directory.directory("snapshot")), tokenizer, config.max_prompt_tokens)
    rows = _choose(fitted.snapshot, config.prompts, directory.seed, directory.config.get("prompts_used") or {})
    judge = judges.resolve(
        directory["judge"], _policies(directory), fitted.snapshot.prompt_groups(), directory.placement
    )
    layers = int(reward_model.read_config(directory.directory("reward_model"))["adapted_layers"])
    loaded = SharedTrunks(_policies(directory), layers, directory.load_base)

    def player(key: str) -> Player:
        folder = directory.directory(key)
        return Player(
            loaded.transformer(folder),
            ChatTokenizer.load(folder),
            config.temperature,
            config.max_tokens,
            directory.stop_if_asked,
        )

    policy, baseline, base = player("policy"), player("baseline"), player("base")
    anchor = player("anchor") if "anchor" in directory.config else base
    replies = _gather(directory, config, rows, loaded, policy, baseline, base, anchor)
    labelled = None if judge.kind == "gold" else violation_labels.of_snapshot(fitted.snapshot, judge)
    judged = judge_replies(replies, judge, labelled)
    report = describe(judged, draws=config.draws, samples=config.samples, seed=directory.seed)
    if directory.config.get("people_compare"):
        pairs.write(judged, directory.path, draws=config.draws)
    nats = {id(p.transformer): human_text_nll(p.transformer, p.tokenizer) for p in (policy, baseline, base, anchor)}
    if replies.anchor is not None:
        report["anchor_perplexity_ratio"] = math.exp(nats[id(policy.transformer)] - nats[id(anchor.transformer)])
    report |= {
        "perplexity": math.exp(nats[id(policy.transformer)]),
        "perplexity_ratio": math.exp(nats[id(policy.transformer)] - nats[id(base.transformer)]),
        "perplexity_ratio_to_baseline": math.exp(nats[id(policy.transformer)] - nats[id(baseline.transformer)]),
        "replies": reply_rows.write(judged, directory.path, draws=config.draws),
        **judge_report.write(judge, directory.path),
        "violation_label_rows": None if labelled is None else violation_labels.write(labelled, directory.path),
        "prompts_asked": [_short_digest(row) for row in rows],
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "simulated": fitted.snapshot.simulated,
        "seed": directory.seed,
        "temperature": config.temperature,
        "max_tokens": config.max_tokens,
        **fitted.counts,
    }
    directory.report(PHASES, PHASES, {"win_rate": report["win_rate"], "objective/kl": report["kl_nats"]})
    return report


def _short_digest(row: PromptRow) -> str:
    """By which a prompt is known again in later evaluations."""
    return row.name[:DIGEST_LENGTH]


def _choose(snapshot: SnapshotFiles, limit: int, seed: int, used: Mapping[str, int]) -> list[PromptRow]:
    """At most `limit` held-out prompts in a seeded order, those first that served the fewest evaluations so far
    (`used`, by short digest): a candidate shall not be chosen for the prompts on which others were tried. Raises
    BadSnapshot where there is none."""
    rows = snapshot.prompts_of(HELD_OUT)
    if not rows:
        raise BadSnapshot(snapshot.directory / "prompts.jsonl", "no held-out prompt to evaluate on")
    random.Random(seed).shuffle(rows)
    rows.sort(key=lambda row: used.get(_short_digest(row), 0))
    return rows[:limit]


def _gather(
    directory: RunDirectory,
    config: EvaluationConfig,
    rows: list[PromptRow],
    loaded: SharedTrunks,
    policy: Player,
    baseline: Player,
    base: Player,
    anchor: Player,
) -> Replies:
    """Sample every side with seeds of its own."""
    prompts = [row.prompt for row in rows]
    seed = directory.seed * 7 + 1
    bases = [base.transformer] if anchor.transformer is base.transformer else [base.transformer, anchor.transformer]
    after, (after_drift, *from_anchor) = policy.sample_with_drift(bases, prompts, 2 * config.draws, seed)
    directory.report(1, PHASES, {"objective/kl": sum(drift.kl_nats for drift in after_drift) / len(after_drift)})
    before, (before_drift,) = baseline.sample_with_drift([base.transformer], prompts, 2 * config.draws, seed + 1)
    if baseline.transformer is base.transformer:
        base_drift, base_draws = before_drift, None
    else:  # a later cycle: the live policy is no longer the one that training started from
        found, (base_drift,) = base.sample_with_drift([base.transformer], prompts, 1, seed + 3)
        base_draws = [draws[0] for draws in found]
    anchored = None
    if from_anchor:
        own, (own_drift,) = anchor.sample_with_drift([anchor.transformer], prompts, 2 * config.draws, seed + 4)
        anchored = AnchorReplies(own, from_anchor[0], own_drift)
    players = {"after": policy, "before": baseline, **({"anchor": anchor} if anchored else {})}
    more = _more_draws(config, rows, seed, players)
    directory.report(2, PHASES, {})
    judge = loaded.reward_model(directory.directory("reward_model"))
    shared = judge.transformer.shares_trunk(baseline.transformer)
    best = baseline.best_of(prompts[: config.best_of_prompts], config.best_of, seed + 2, judge, shared)
    directory.report(3, PHASES, {})
    return Replies(rows, after, before, best, after_drift, base_drift, base_draws, anchored, more)


def _more_draws(
    config: EvaluationConfig, rows: list[PromptRow], seed: int, players: Mapping[str, Player]
) -> dict[str, list[list[Draw]]]:
    """By side, for each prompt what is drawn for the rates of violations alone: nothing for those that elicit none.

    Rates of a few replies to a few prompts are wide, and nothing else needs as many.
    """
    count = config.violation_draws - 2 * config.draws
    chosen = [row.prompt for row in rows if row.elicits is not None]
    if count < 1 or not chosen:
        return {}
    found = {}
    for number, (side, player) in enumerate(players.items()):
        made = iter(player.sample_with_drift([], chosen, count, MORE_SEEDS + seed + number)[0])
        found[side] = [next(made) if row.elicits is not None else [] for row in rows]
    return found


def _policies(directory: RunDirectory) -> list[Path]:
    keys = ("policy", "baseline", "base", "anchor", "root")
    return [directory.directory(key) for key in keys if key in directory.config]
