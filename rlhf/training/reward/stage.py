"""The reward_model stage: from a snapshot to a published reward model and its figures on held-out replies."""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlhf.training import statistics
from rlhf.training.artefacts import checkpoints
from rlhf.training.gold import Gold
from rlhf.training.hyperparameters import build
from rlhf.training.model.adapter import Adapter
from rlhf.training.model.transformer import Transformer
from rlhf.training.reward import degenerate
from rlhf.training.reward.examples import Examples, NothingToLearn, examples, raw_features, trunk_states
from rlhf.training.reward.fit import RewardModelConfig, Trainer
from rlhf.training.reward.heads import Heads
from rlhf.training.reward.model import RewardModel, Scale, embed_rule, weights_digest
from rlhf.training.run import RunDirectory, Stopped
from rlhf.training.snapshot.files import HELD_OUT, TRAIN, PlainReply, RankingRow, SnapshotFiles, ViolationRow
from rlhf.training.snapshot.fitting import fit_prompts
from rlhf.training.tokens import ChatTokenizer

MIN_REPLIES_TO_NORMALISE = 16
SPREAD_FLOOR = 1e-4
"""The least standard deviation to divide by: a feature that hardly varies must not be amplified."""


def run(directory: RunDirectory) -> dict[str, Any]:
    config = build(RewardModelConfig, directory.hyperparameters)
    base = directory.directory("base")
    tokenizer = ChatTokenizer.load(base)
    fitted = fit_prompts(SnapshotFiles.load(directory.directory("snapshot")), tokenizer, config.max_prompt_tokens)
    snapshot = fitted.snapshot
    transformer = Transformer.load(base, adapted_layers=config.adapted_layers)
    training, held_out = _divide(snapshot, list(directory.config.get("splits") or [TRAIN]))
    data, rest = (
        examples(
            rankings,
            violations,
            tokenizer,
            max_completion_tokens=config.max_completion_tokens,
        )
        for rankings, violations in (training, held_out)
    )
    if not data.groups:
        raise NothingToLearn("the snapshot holds no ranking and no rule label in these splits")
    texts = {row.rule: row.rule_text for row in snapshot.violations} | snapshot.rules
    model = fresh_model(transformer, tokenizer, texts, config, directory.seed)
    model.judged = judged_rules(data, config.min_labels)
    grown = _with_made_up(data, training[0], tokenizer, config)
    states = trunk_states(transformer, grown.examples.rows, tokenizer.padding_id, directory.stop_if_asked)
    standardise(model, *raw_features(model, states[: len(data.rows)], data.rows))
    directory.stop_if_asked()
    trainer = Trainer(model, grown.examples, states, config, directory.seed)
    trainer.resume(directory.checkpoint)

    def measure() -> dict[str, float]:
        return _held_out_accuracy(model, rest, tokenizer)

    if not trainer.train(directory.report, directory.should_stop, directory.checkpoint, measure):
        raise Stopped
    result = _measure(model, data, rest, tokenizer, directory.config.get("judge"))
    result |= grown.facts | _made_up_accuracy(model, _with_made_up(rest, held_out[0], tokenizer, config), tokenizer)
    _publish(model, directory, config, base, snapshot, grown.facts)
    return result | fitted.counts


def _with_made_up(
    data: Examples, rankings: Sequence[RankingRow], tokenizer: ChatTokenizer, config: RewardModelConfig
) -> degenerate.Grown:
    return degenerate.grow(
        data,
        rankings,
        tokenizer,
        each=config.made_up_each,
        weight=config.made_up_weight,
        max_completion_tokens=config.max_completion_tokens,
    )


def _made_up_accuracy(model: RewardModel, grown: degenerate.Grown, tokenizer: ChatTokenizer) -> dict[str, float]:
    """How often a made-up reply scores below the worst that people ranked, on prompts that were not trained on."""
    groups = [group for group in grown.examples.groups if group.made_up_pairs]
    pairs = [(group.items[a], group.items[b]) for group in groups for a, b in group.made_up_pairs]
    if not pairs:
        return {}
    scores = model.judge_rows(grown.examples.rows, tokenizer.padding_id).scores.tolist()
    return {"made_up_accuracy": sum(scores[a] > scores[b] for a, b in pairs) / len(pairs)}


Part = tuple[Sequence[RankingRow], Sequence[ViolationRow]]


def _divide(snapshot: SnapshotFiles, splits: list[str]) -> tuple[Part, Part]:
    """(to train on, to measure on). Where the other split is empty, every tenth prompt is held out."""
    other = [split for split in (TRAIN, HELD_OUT) if split not in splits]

    def of(wanted: list[str]) -> tuple[list[RankingRow], list[ViolationRow]]:
        rankings = [r for r in snapshot.rankings if r.split in wanted]
        return rankings, [v for v in snapshot.violations if v.split in wanted]

    training, measuring = of(splits), of(other)
    if measuring[0] or measuring[1]:
        return training, measuring
    prompts = sorted({r.replies[0].prompt for r in training[0]} | {v.reply.prompt for v in training[1]})
    held_out = set(prompts[::10]) if len(prompts) >= 20 else set()

    def part(is_held_out: bool) -> Part:
        rankings = [r for r in training[0] if (r.replies[0].prompt in held_out) is is_held_out]
        return rankings, [v for v in training[1] if (v.reply.prompt in held_out) is is_held_out]

    return part(False), part(True)


def fresh_model(
    transformer: Transformer, tokenizer: ChatTokenizer, texts: dict[str, str], config: RewardModelConfig, seed: int
) -> RewardModel:
    """An untrained reward model: an adapter without effect, heads at zero, embedded rules."""
    width = transformer.config.hidden_size
    features = 4 * width  # last token and mean, of top and trunk
    rules = {key: embed_rule(transformer, tokenizer, text) for key, text in texts.items()}
    table = torch.stack(list(rules.values())) if rules else torch.zeros(1, width)
    scale = Scale(
        feature_mean=torch.zeros(features),
        feature_sd=torch.ones(features),
        token_mean=torch.zeros(2 * width),
        token_sd=torch.ones(2 * width),
        rule_mean=table.mean(0),
        rule_sd=(table - table.mean(0)).norm(dim=1).mean().clamp_min(SPREAD_FLOOR),
    )
    adapter = Adapter.create(transformer, rank=config.rank, alpha=config.alpha, seed=seed)
    heads = Heads.create(features, 2 * width, 2 * width, width, rank=config.rule_rank, seed=seed)
    return RewardModel(transformer, adapter, heads, scale, rules, [])


def judged_rules(data: Examples, minimum: int) -> tuple[str, ...]:
    """Rules with at least `minimum` labels of each kind."""
    counts: dict[tuple[str, bool], int] = {}
    for found in data.labels.values():
        for key, violates, _ in found:
            counts[key, violates] = counts.get((key, violates), 0) + 1
    keys = sorted({key for key, _ in counts})
    return tuple(key for key in keys if min(counts.get((key, kind), 0) for kind in (True, False)) >= minimum)


def standardise(model: RewardModel, pooled: Tensor, token_mean: Tensor, token_square: Tensor) -> None:
    model.scale.feature_mean = pooled.mean(0)
    model.scale.feature_sd = pooled.std(0, correction=0).clamp_min(SPREAD_FLOOR)
    model.scale.token_mean = token_mean
    model.scale.token_sd = (token_square - token_mean.square()).clamp_min(0).sqrt().clamp_min(SPREAD_FLOOR)


def _measure(
    model: RewardModel,
    data: Examples,
    rest: Examples,
    tokenizer: ChatTokenizer,
    judge: dict[str, Any] | None,
) -> dict[str, Any]:
    """Normalise the scores on replies of the base that were not trained on, and measure there."""
    model.merge()
    seen = rest if len(rest.rows) >= MIN_REPLIES_TO_NORMALISE else data
    scores = model.judge_rows(seen.rows, tokenizer.padding_id).scores
    model.scale.score_mean = scores.mean()
    model.scale.score_sd = scores.std(correction=0).clamp_min(SPREAD_FLOOR)
    result: dict[str, Any] = {
        "rankings": sum(bool(group.pairs) for group in data.groups),
        "trained_pairs": len(data.pairs),
        "trained_labels": sum(len(found) for found in data.labels.values()),
        "judged_rules": list(model.judged),
        "score_mean": float(model.scale.score_mean),
        "score_sd": float(model.scale.score_sd),
    }
    return result | _accuracy(model, rest, tokenizer, judge)


def _held_out_accuracy(model: RewardModel, rest: Examples, tokenizer: ChatTokenizer) -> dict[str, float]:
    """The figure that says whether another epoch still helped; nothing where no pair was held out."""
    if not rest.pairs:
        return {}
    scores = model.judge_rows(rest.rows, tokenizer.padding_id).scores.tolist()
    right = [float(scores[a] > scores[b]) + 0.5 * float(scores[a] == scores[b]) for a, b in rest.pairs]
    return {"held_out/accuracy": sum(right) / len(right)}


def _accuracy(
    model: RewardModel, rest: Examples, tokenizer: ChatTokenizer, judge: dict[str, Any] | None
) -> dict[str, Any]:
    """Accuracy on strict pairs with bounds by prompt, and the AUC of the rule head, pooled and of each rule."""
    if not rest.rows:
        return {"accuracy": None, "accuracy_low": None, "pairs": 0, "flag_auc": None, "flags": 0}
    scored = model.judge_rows(rest.rows, tokenizer.padding_id)
    scores = scored.scores.tolist()
    pairs = rest.pairs
    right = [float(scores[a] > scores[b]) + 0.5 * float(scores[a] == scores[b]) for a, b in pairs]
    share = statistics.cluster_bootstrap(right, [rest.prompts[a] for a, _ in pairs])
    columns = {key: scored.violations[:, i].tolist() for i, key in enumerate(model.judged)}
    labels = [
        (key, columns[key][item], violates)
        for item, found in rest.labels.items()
        for key, violates, _ in found
        if key in columns
    ]
    result: dict[str, Any] = {
        "accuracy": share.value,
        "accuracy_low": share.low,
        "accuracy_high": share.high,
        "pairs": len(pairs),
        "flag_auc": statistics.auc([p for _, p, _ in labels], [label for _, _, label in labels]),
        "flags": len(labels),
        "flag_auc_by_rule": {
            key: statistics.auc([p for k, p, _ in labels if k == key], [v for k, _, v in labels if k == key])
            for key in columns
        },
        "length_correlation": statistics.correlation(scores, [row.length - row.prompt_length for row in rest.rows]),
    }
    if judge is None or judge.get("kind") != "gold":
        return result | {"measured_against": "held-out labels"}
    as_labelled = {f"{name}_as_labelled": result[name] for name in ("accuracy", "flag_auc")}
    return result | as_labelled | _against_gold(scores, columns, rest, tokenizer, judge)


def _against_gold(
    scores: list[float],
    columns: dict[str, list[float]],
    rest: Examples,
    tokenizer: ChatTokenizer,
    judge: dict[str, Any],
) -> dict[str, Any]:
    """The same figures, measured against the simulated annotators' functions without their noise."""
    gold = Gold.resolve(judge)
    replies = [
        PlainReply(prompt, tokenizer.decode(row.ids[row.prompt_length :]), row.ids[-1] == tokenizer.end_id)
        for prompt, row in zip(rest.prompts, rest.rows, strict=True)
    ]
    truth, broken = gold.scores(replies), gold.violations(replies)
    pairs = [
        (a, b)
        for group in rest.groups
        for a, b in combinations(group.items, 2)
        if group.pairs and truth[a] != truth[b]
    ]
    right = [float((scores[a] - scores[b]) * (truth[a] - truth[b]) > 0) for a, b in pairs]
    share = statistics.cluster_bootstrap(right, [rest.prompts[a] for a, _ in pairs])
    judged = [(columns[key][i], hit) for key, hits in broken.items() if key in columns for i, hit in enumerate(hits)]
    return {
        "accuracy": share.value,
        "accuracy_low": share.low,
        "accuracy_high": share.high,
        "pairs": len(pairs),
        "flag_auc": statistics.auc([p for p, _ in judged], [hit for _, hit in judged]),
        "measured_against": gold.label,
    }


def _publish(
    model: RewardModel,
    directory: RunDirectory,
    config: RewardModelConfig,
    base: Path,
    snapshot: SnapshotFiles,
    made_up: dict[str, object],
) -> Path:
    about = {
        "base": str(base),
        "base_sha256": weights_digest(base),
        "snapshot": str(snapshot.directory),
        "simulated": snapshot.simulated,
        "splits": directory.config.get("splits") or [TRAIN],
        "seed": directory.seed,
        "hyperparameters": asdict(config),
        **made_up,
    }
    return checkpoints.publish(lambda draft: model.write(draft, about), directory.directory("output"), base=str(base))
