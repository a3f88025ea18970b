"""The reward_model stage: from a snapshot to a published reward model and its figures on held-out replies."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlhf.training.artefacts import checkpoints
from rlhf.training.hyperparameters import build
from rlhf.training.model.adapter import Adapter
from rlhf.training.model.transformer import Transformer
from rlhf.training.reward.examples import Examples, NothingToLearn, examples, raw_features, trunk_states
from rlhf.training.reward.fit import STATES, RewardModelConfig, Trainer
from rlhf.training.reward.heads import Heads
from rlhf.training.reward.liveness import Liveness
from rlhf.training.reward.measuring import Sample, figures, held_out_accuracy, normalise
from rlhf.training.reward.model import SPREAD_FLOOR, RewardModel, Scale, embed_rule, weights_digest
from rlhf.training.run import RunDirectory, Stopped
from rlhf.training.snapshot.files import HELD_OUT, TRAIN, RankingRow, SnapshotFiles, ViolationRow
from rlhf.training.snapshot.fitting import fit_prompts
from rlhf.training.tokens import ChatTokenizer


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
    model.judged = _judged_rules(data, config.min_labels)
    trains_yet = directory.checkpoint.exists()
    states, held_out_states = (
        trunk_states(
            transformer,
            part.rows,
            tokenizer.padding_id,
            directory=directory.states / name,
            progress=Liveness(directory, f"trunk states, {name}", trains_yet=trains_yet),
            stored=STATES[config.states],
        )
        for name, part in ((TRAIN, data), (HELD_OUT, rest))
    )
    spread = Liveness(directory, "means and spreads of the features", trains_yet=trains_yet)
    _standardise(model, *raw_features(model, states, data.rows, spread))
    trainer = Trainer(model, data, states, config, directory.seed)
    trainer.resume(directory.checkpoint)
    sample, between = (
        Sample.of(rest, held_out_states),
        Liveness(directory, "accuracy on held-out pairs", trains_yet=True),
    )

    def measure() -> dict[str, float]:
        return held_out_accuracy(model, rest, sample, between)

    if not trainer.train(directory.report, directory.should_stop, directory.checkpoint, measure):
        raise Stopped
    after = Liveness(directory, "measuring", trains_yet=True)
    scored = normalise(model, (data, states), (rest, held_out_states), after)
    result = _learned(model, data) | figures(scored, rest, model.judged, tokenizer, directory.config.get("judge"))
    _publish(model, directory, config, base, snapshot)
    return result | fitted.counts


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


def _judged_rules(data: Examples, minimum: int) -> tuple[str, ...]:
    """Rules with at least `minimum` labels of each kind."""
    counts: dict[tuple[str, bool], int] = {}
    for found in data.labels.values():
        for key, violates, _ in found:
            counts[key, violates] = counts.get((key, violates), 0) + 1
    keys = sorted({key for key, _ in counts})
    return tuple(key for key in keys if min(counts.get((key, kind), 0) for kind in (True, False)) >= minimum)


def _standardise(
    model: RewardModel, pooled_mean: Tensor, pooled_square: Tensor, token_mean: Tensor, token_square: Tensor
) -> None:
    model.scale.feature_mean, model.scale.feature_sd = _mean_and_sd(pooled_mean, pooled_square)
    model.scale.token_mean, model.scale.token_sd = _mean_and_sd(token_mean, token_square)


def _mean_and_sd(mean: Tensor, square: Tensor) -> tuple[Tensor, Tensor]:
    sd = (square - mean.square()).clamp_min(0).sqrt().clamp_min(SPREAD_FLOOR)
    return mean.float(), sd.float()


def _learned(model: RewardModel, data: Examples) -> dict[str, Any]:
    return {
        "rankings": sum(bool(group.pairs) for group in data.groups),
        "trained_pairs": len(data.pairs),
        "trained_labels": sum(len(found) for found in data.labels.values()),
        "judged_rules": list(model.judged),
        "score_mean": float(model.scale.score_mean),
        "score_sd": float(model.scale.score_sd),
    }


def _publish(
    model: RewardModel, directory: RunDirectory, config: RewardModelConfig, base: Path, snapshot: SnapshotFiles
) -> Path:
    about = {
        "base": str(base),
        "base_sha256": weights_digest(base),
        "snapshot": str(snapshot.directory),
        "simulated": snapshot.simulated,
        "splits": directory.config.get("splits") or [TRAIN],
        "seed": directory.seed,
        "hyperparameters": asdict(config),
    }
    return checkpoints.publish(lambda draft: model.write(draft, about), directory.directory("output"), base=str(base))
