"""The reward_model stage: from a snapshot to a published reward model and its figures on held-out replies."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlhf.training import processes
from rlhf.training.artefacts import checkpoints
from rlhf.training.artefacts.policy_adapter import layers_over
from rlhf.training.hyperparameters import build, require
from rlhf.training.model.adapter import Adapter
from rlhf.training.model.decoder import Decoder
from rlhf.training.reward import degenerate
from rlhf.training.reward.examples import Examples, NothingToLearn, examples, raw_features, trunk_states
from rlhf.training.reward.fit import STATES, RewardModelConfig, Trainer
from rlhf.training.reward.heads import Heads
from rlhf.training.reward.liveness import Liveness
from rlhf.training.reward.measuring import (
    SAMPLED_RANKINGS,
    HeldOutSample,
    Part,
    figures,
    held_out_accuracy,
    normalise,
    probe,
    unseen_rule,
)
from rlhf.training.reward.model import (
    SPREAD_FLOOR,
    ChosenStates,
    RewardModel,
    Scale,
    States,
    embed_rule,
    weights_digest,
)
from rlhf.training.run import RunDirectory, Stopped
from rlhf.training.snapshot.files import (
    HELD_OUT,
    TRAIN,
    PromptMessages,
    RankingRow,
    SnapshotFiles,
    ThumbRow,
    ViolationRow,
)
from rlhf.training.snapshot.fitting import fit_prompts
from rlhf.training.tokens import ChatTokenizer


def run(directory: RunDirectory) -> dict[str, Any]:
    config = build(RewardModelConfig, directory.hyperparameters)
    config = replace(config, adapted_layers=layers_over(directory.config.get("start"), config.adapted_layers))
    base = directory.directory("base")
    tokenizer = ChatTokenizer.load(base)
    fitted = fit_prompts(SnapshotFiles.load(directory.directory("snapshot")), tokenizer, config.max_prompt_tokens)
    snapshot = fitted.snapshot
    _require_rule(snapshot, config.held_out_rule)
    transformer = directory.load_base(base, adapted_layers=config.adapted_layers)
    training, held_out = _divide(snapshot, list(directory.config.get("splits") or [TRAIN]))
    data, rest = (_encode(part, tokenizer, config) for part in (training.without(config.held_out_rule), held_out))
    if not data.groups:
        raise NothingToLearn("the snapshot holds no ranking and no rule label in these splits")
    texts = {row.rule: row.rule_text for row in snapshot.violations} | snapshot.rules
    seeds = range(directory.seed, directory.seed + config.ensemble)
    members = [fresh_model(transformer, tokenizer, texts, config, seed) for seed in seeds]
    grown = _with_made_up(data, training.rankings, tokenizer, config)
    states = _states(directory, members[0], grown.examples, tokenizer, config, TRAIN)
    held_out_states = _states(directory, members[0], rest, tokenizer, config, HELD_OUT)
    by_people = data, ChosenStates(list(range(len(data.rows))), states)
    _begin(directory, members, by_people, config)
    _train(directory, members, (grown.examples, states), (rest, held_out_states), config)
    scored = normalise(members, by_people, (rest, held_out_states), Liveness(directory, "measuring", trains_yet=True))
    model = members[0]
    model.disagreement_weight = config.disagreement_weight
    result = {
        **_learned(model, data, config),
        **figures(scored, rest, model.judged, tokenizer, directory.config.get("judge")),
        **grown.facts,
        **_made_up_accuracy(model, rest, held_out.rankings, tokenizer, config),
        "probes": probe(model, rest, scored, tokenizer, [*training.rankings, *held_out.rankings], config),
    }
    if config.held_out_rule:
        result["held_out_rule"] = unseen_rule(model, rest, held_out_states, config.held_out_rule)
    if processes.is_main():
        _publish(model, directory, config, base, snapshot, grown.facts)
    return result | fitted.counts


def _begin(
    directory: RunDirectory, members: Sequence[RewardModel], by_people: Part, config: RewardModelConfig
) -> None:
    """Standardise all members alike, by the replies that people judged, and note which rules can be told."""
    data, states = by_people
    spread = Liveness(directory, "means and spreads of the features", trains_yet=directory.checkpoint.exists())
    standardise(members[0], *raw_features(members[0], states, data.rows, spread))
    for member in members:
        member.scale, member.judged = replace(members[0].scale), judged_rules(data, config.min_labels)


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


def _made_up_accuracy(
    model: RewardModel,
    rest: Examples,
    rankings: Sequence[RankingRow],
    tokenizer: ChatTokenizer,
    config: RewardModelConfig,
) -> dict[str, float]:
    """How often a made-up reply scores below the worst that people ranked, on some prompts that were not trained
    on."""
    grown = _with_made_up(rest, rankings, tokenizer, config).examples
    groups = [group for group in grown.groups if group.made_up_pairs][:SAMPLED_RANKINGS]
    pairs = [(group.items[a], group.items[b]) for group in groups for a, b in group.made_up_pairs]
    if not pairs:
        return {}
    items = sorted({item for pair in pairs for item in pair})
    found = model.judge_rows([grown.rows[item] for item in items], tokenizer.padding_id).scores.tolist()
    scores = dict(zip(items, found, strict=True))
    return {"made_up_accuracy": sum(scores[a] > scores[b] for a, b in pairs) / len(pairs)}


@dataclass(frozen=True)
class SplitJudgements:
    """Of one side of the snapshot."""

    rankings: Sequence[RankingRow]
    violations: Sequence[ViolationRow]
    thumbs: Sequence[ThumbRow]

    def without(self, rule: str) -> "SplitJudgements":
        return replace(self, violations=[row for row in self.violations if row.rule != rule])

    def of(self, chosen: Callable[[PromptMessages], bool]) -> "SplitJudgements":
        """Those on replies to the chosen prompts."""
        return SplitJudgements(
            [row for row in self.rankings if chosen(row.replies[0].prompt)],
            [row for row in self.violations if chosen(row.reply.prompt)],
            [row for row in self.thumbs if chosen(row.reply.prompt)],
        )


def _require_rule(snapshot: SnapshotFiles, rule: str) -> None:
    known = sorted({row.rule for row in snapshot.violations})
    require(
        not rule or rule in known, "held_out_rule", rule, f"must be one of the labelled rules: {', '.join(known)}"
    )


def _encode(part: SplitJudgements, tokenizer: ChatTokenizer, config: RewardModelConfig) -> Examples:
    return examples(
        part.rankings,
        part.violations,
        tokenizer,
        max_completion_tokens=config.max_completion_tokens,
        thumbs=part.thumbs,
    )


def _states(
    directory: RunDirectory,
    model: RewardModel,
    part: Examples,
    tokenizer: ChatTokenizer,
    config: RewardModelConfig,
    name: str,
) -> States:
    return trunk_states(
        model.transformer,
        part.rows,
        tokenizer.padding_id,
        directory=directory.states / name,
        progress=Liveness(directory, f"trunk states, {name}", trains_yet=directory.checkpoint.exists()),
        stored=STATES[config.states],
    )


def _train(
    directory: RunDirectory, members: Sequence[RewardModel], training: Part, held_out: Part, config: RewardModelConfig
) -> None:
    """One member after the other; each resumes from a checkpoint of its own. Raises Stopped."""
    sample = HeldOutSample.of(*held_out)
    alive = Liveness(directory, "accuracy on held-out pairs", trains_yet=True)
    for number, member in enumerate(members):
        trainer = Trainer(member, *training, config, directory.seed + number)
        checkpoint = directory.states / f"member-{number + 1}" if number else directory.checkpoint
        trainer.resume(checkpoint)
        report = partial(_report_of_member, directory, number, len(members))
        measure = partial(held_out_accuracy, member, held_out[0], sample, alive)
        if not trainer.train(report, directory.should_stop, checkpoint, measure):
            raise Stopped
        if member is not members[-1]:
            trainer.save(checkpoint)


def _report_of_member(
    directory: RunDirectory, number: int, members: int, step: int, steps: int, values: dict[str, Any]
) -> None:
    directory.report(number * steps + step, members * steps, values)


def _divide(snapshot: SnapshotFiles, splits: list[str]) -> tuple[SplitJudgements, SplitJudgements]:
    """(to train on, to measure on). Where the other split is empty, every tenth prompt is held out."""
    other = [split for split in (TRAIN, HELD_OUT) if split not in splits]

    def of(wanted: list[str]) -> SplitJudgements:
        return SplitJudgements(
            [row for row in snapshot.rankings if row.split in wanted],
            [row for row in snapshot.violations if row.split in wanted],
            [row for row in snapshot.thumbs if row.split in wanted],
        )

    training, measuring = of(splits), of(other)
    if measuring.rankings or measuring.violations:
        return training, measuring
    prompts = sorted({r.replies[0].prompt for r in training.rankings} | {v.reply.prompt for v in training.violations})
    held_out = set(prompts[::10]) if len(prompts) >= 20 else set()
    return training.of(lambda prompt: prompt not in held_out), training.of(lambda prompt: prompt in held_out)


def fresh_model(
    transformer: Decoder, tokenizer: ChatTokenizer, texts: dict[str, str], config: RewardModelConfig, seed: int
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


def standardise(
    model: RewardModel, pooled_mean: Tensor, pooled_square: Tensor, token_mean: Tensor, token_square: Tensor
) -> None:
    model.scale.feature_mean, model.scale.feature_sd = _mean_and_sd(pooled_mean, pooled_square)
    model.scale.token_mean, model.scale.token_sd = _mean_and_sd(token_mean, token_square)


def _mean_and_sd(mean: Tensor, square: Tensor) -> tuple[Tensor, Tensor]:
    sd = (square - mean.square()).clamp_min(0).sqrt().clamp_min(SPREAD_FLOOR)
    return mean.float(), sd.float()


def _learned(model: RewardModel, data: Examples, config: RewardModelConfig) -> dict[str, Any]:
    thumbs = sum(len(found) for found in data.thumbs.values())
    return {
        "ensemble": len(model.members),
        "trained_thumbs": thumbs if config.thumb_weight else 0,
        "rankings": sum(bool(group.pairs) for group in data.groups),
        "trained_pairs": len(data.pairs),
        "trained_labels": sum(len(found) for found in data.labels.values()),
        "judged_rules": list(model.judged),
        "score_mean": float(model.scale.score_mean),
        "score_sd": float(model.scale.score_sd),
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
