"""The judge's stage: a reward model for each fold of the held-out split, and how good each is where it saw nothing.

The trunk's states are computed once for all folds. A fold that is done is kept in the checkpoint and not trained
again after an interruption. What is published is one directory: each fold's adapter and heads in a folder of their
own, the division into folds, and every judgement beside what the model said that did not learn from it.
"""

import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from rlhf.training import processes, statistics
from rlhf.training.artefacts import checkpoints
from rlhf.training.artefacts.policy_adapter import layers_over
from rlhf.training.hyperparameters import build, require
from rlhf.training.model.decoder import Decoder
from rlhf.training.reward.examples import Examples, NothingToLearn, examples, raw_features, trunk_states
from rlhf.training.reward.features import EncodedReply, encode
from rlhf.training.reward.fit import STATES, RewardModelConfig, Trainer
from rlhf.training.reward.folds import Fold, Folds
from rlhf.training.reward.liveness import Liveness
from rlhf.training.reward.model import (
    SPREAD_FLOOR,
    ChosenStates,
    ReplyScores,
    RewardModel,
    States,
    weights_digest,
)
from rlhf.training.reward.qualification import JudgedComparison, JudgedLabel, Judgements, qualify
from rlhf.training.reward.stage import fresh_model, judged_rules, standardise
from rlhf.training.run import RunDirectory, Stopped
from rlhf.training.snapshot.files import PlainReply, RankingRow, SnapshotFiles, ViolationRow, thaw
from rlhf.training.snapshot.fitting import fit_prompts
from rlhf.training.tokens import ChatTokenizer

KIND = "cross_fitted"
"""Of config.json, by which such a directory is told from a single reward model's."""


@dataclass(frozen=True)
class JudgeConfig(RewardModelConfig):
    prompt_folds: int = 0
    """0: two to four, by the number of prompt groups (rlhf.training.reward.folds)."""
    annotator_folds: int = 2

    def validate(self) -> None:
        """Raise BadHyperparameter."""
        super().validate()
        require(
            self.prompt_folds == 0 or self.prompt_folds >= 2, "prompt_folds", self.prompt_folds, "0, or at least 2"
        )
        require(self.annotator_folds >= 1, "annotator_folds", self.annotator_folds, "must be at least 1")

    def of_one_fold(self) -> RewardModelConfig:
        return RewardModelConfig(**{one.name: getattr(self, one.name) for one in fields(RewardModelConfig)})


@dataclass(frozen=True)
class Material:
    """The judgements to be divided, and every distinct reply of them once, with its trunk states."""

    rankings: Sequence[RankingRow]
    violations: Sequence[ViolationRow]
    replies: dict[PlainReply, int]
    rows: list[EncodedReply]
    states: States
    texts: dict[str, str]
    """Of the rules, by key."""


def run(directory: RunDirectory) -> dict[str, Any]:
    config = build(JudgeConfig, directory.hyperparameters)
    config = replace(config, adapted_layers=layers_over(directory.config.get("start"), config.adapted_layers))
    base = directory.directory("base")
    tokenizer = ChatTokenizer.load(base)
    fitted = fit_prompts(SnapshotFiles.load(directory.directory("snapshot")), tokenizer, config.max_prompt_tokens)
    transformer = directory.load_base(base, adapted_layers=config.adapted_layers)
    material = _gather(directory, fitted.snapshot, tokenizer, transformer, config)
    ranked = [(one.group, one.annotator) for one in material.rankings]
    flagged = [(one.group, one.annotator) for one in material.violations]
    folds = Folds.divide(ranked, flagged, prompt_folds=config.prompt_folds, annotator_folds=config.annotator_folds)
    about = {
        "base": str(base),
        "base_sha256": weights_digest(base),
        "snapshot": str(fitted.snapshot.directory),
        "simulated": fitted.snapshot.simulated,
        "splits": list(directory["splits"]),
        "seed": directory.seed,
        "hyperparameters": asdict(config),
    }
    _Folded(directory, config, tokenizer, transformer, material, folds, about).train()
    judgements = Judgements.read(_done(directory, fold) for fold in folds.cells)
    if processes.is_main():
        _publish(directory, folds, judgements, {**about, "adapted_layers": config.adapted_layers})
    return _result(folds, material, judgements) | fitted.counts


def _gather(
    directory: RunDirectory,
    snapshot: SnapshotFiles,
    tokenizer: ChatTokenizer,
    transformer: Decoder,
    config: JudgeConfig,
) -> Material:
    """Without what people elsewhere judged: a judge is held against the people of this site."""
    splits = list(directory["splits"])
    rankings = [one for one in snapshot.rankings if one.split in splits and not one.imported]
    violations = [one for one in snapshot.violations if one.split in splits and not one.imported]
    every = dict.fromkeys([reply for one in rankings for reply in one.replies] + [one.reply for one in violations])
    if not every:
        raise NothingToLearn("the snapshot holds no ranking and no rule label in these splits")
    limit = config.max_completion_tokens
    rows = [
        encode(tokenizer, thaw(reply.prompt), reply.text, finished=reply.finished, max_completion_tokens=limit)
        for reply in every
    ]
    states = trunk_states(
        transformer,
        rows,
        tokenizer.padding_id,
        directory=directory.states / "judged",
        progress=Liveness(directory, "trunk states", trains_yet=directory.checkpoint.exists()),
        stored=STATES[config.states],
    )
    texts = {row.rule: row.rule_text for row in snapshot.violations} | snapshot.rules
    return Material(rankings, violations, {reply: index for index, reply in enumerate(every)}, rows, states, texts)


@dataclass(frozen=True)
class _Folded:
    directory: RunDirectory
    config: JudgeConfig
    tokenizer: ChatTokenizer
    transformer: Decoder
    material: Material
    folds: Folds
    about: dict[str, Any]

    def train(self) -> None:
        """Every fold that is not done. Raises Stopped, with the state of the fold under way in the checkpoint."""
        parts = [self._part(fold) for fold in self.folds.cells]
        sizes = [self._steps(part) for part in parts]
        for number, (fold, part) in enumerate(zip(self.folds.cells, parts, strict=True)):
            if not _is_done(self.directory, fold):
                self._train_fold(fold, part, sum(sizes[:number]), sum(sizes))

    def _part(self, fold: Fold) -> Examples:
        """What the model of the fold learns from; perhaps nothing."""
        learns, material = self.folds.learns, self.material
        return examples(
            [one for one in material.rankings if learns(fold, one.group, one.annotator)],
            [one for one in material.violations if learns(fold, one.group, one.annotator)],
            self.tokenizer,
            max_completion_tokens=self.config.max_completion_tokens,
        )

    def _steps(self, part: Examples) -> int:
        return math.ceil(len(_telling(part)) / self.config.rankings_per_step) * self.config.epochs

    def _train_fold(self, fold: Fold, part: Examples, before: int, steps: int) -> None:
        directory, config = self.directory, self.config
        place = {row: index for index, row in enumerate(self.material.rows)}
        states = ChosenStates([place[row] for row in part.rows], self.material.states)
        model = fresh_model(self.transformer, self.tokenizer, self.material.texts, config, directory.seed)
        model.judged = judged_rules(part, config.min_labels)
        if _telling(part):  # else it stays as it was made: every score 0, no rule told
            standardise(model, *raw_features(model, states, part.rows))
            trainer = Trainer(model, part, states, config.of_one_fold(), directory.seed)
            under_way = directory.checkpoint / f"under-way-{fold.name}"
            trainer.resume(under_way)
            told = _from(directory, before, steps)
            if not trainer.train(told, directory.should_stop, under_way):
                raise Stopped
        model.merge()
        found = self._judged(fold, model)
        if processes.is_main():
            checkpoints.publish(lambda draft: _write(draft, model, found, self.about), _done(directory, fold))
            shutil.rmtree(directory.checkpoint / f"under-way-{fold.name}", ignore_errors=True)
        processes.wait_for_all()  # before they look which folds are done

    def _judged(self, fold: Fold, model: RewardModel) -> Judgements:
        """What the model says of what it did not learn from, with its scores normalised on these prompts' replies,
        for which nothing of what people said of them is needed."""
        material, folds = self.material, self.folds
        here = sorted({material.replies[reply] for reply in self._replies_of(fold.prompts)})
        scored = _scores(model, material, here)
        if here:
            model.scale.score_mean = scored.scores.mean()
            model.scale.score_sd = scored.scores.std(correction=0).clamp_min(SPREAD_FLOOR)
        score = dict(
            zip(here, ((scored.scores - model.scale.score_mean) / model.scale.score_sd).tolist(), strict=True)
        )
        told = dict(zip(here, scored.violations.tolist(), strict=True))
        comparisons = [
            JudgedComparison(
                score[material.replies[one.replies[better]]] - score[material.replies[one.replies[worse]]],
                one.group,
                one.annotator,
                one.simulated,
                fold.prompts,
            )
            for one in material.rankings
            if folds.judges(fold, one.group, one.annotator)
            for better, worse in one.pairs
        ]
        labels = [
            JudgedLabel(
                one.rule,
                told[material.replies[one.reply]][model.judged.index(one.rule)],
                one.violates,
                one.group,
                one.annotator,
            )
            for one in material.violations
            if folds.judges(fold, one.group, one.annotator) and one.rule in model.judged
        ]
        return Judgements(tuple(comparisons), tuple(labels))

    def _replies_of(self, prompt_fold: int) -> list[PlainReply]:
        groups, material = self.folds.groups, self.material
        ranked = [reply for one in material.rankings if groups[one.group] == prompt_fold for reply in one.replies]
        return ranked + [one.reply for one in material.violations if groups[one.group] == prompt_fold]


def _telling(part: Examples) -> list[Any]:
    """Groups from which anything is learnt: with a strict pair or a label."""
    return [group for group in part.groups if group.pairs or any(item in part.labels for item in group.items)]


def _scores(model: RewardModel, material: Material, chosen: Sequence[int]) -> ReplyScores:
    """Of replies by number, from their trunk states."""
    rows = [material.rows[index] for index in chosen]
    return model.judge_states(ChosenStates(list(chosen), material.states), rows)


def _from(directory: RunDirectory, before: int, steps: int) -> Callable[[int, int, dict[str, Any]], None]:
    """Reports the steps of a fold as steps of the whole."""
    return lambda step, _of_fold, values: directory.report(before + step, steps, values)


def _done(directory: RunDirectory, fold: Fold) -> Path:
    return directory.checkpoint / fold.name


def _is_done(directory: RunDirectory, fold: Fold) -> bool:
    try:
        checkpoints.verify(_done(directory, fold))
    except checkpoints.Damaged:
        return False
    return True


def _write(draft: Path, model: RewardModel, judged: Judgements, about: dict[str, Any]) -> None:
    model.write(draft, about)
    judged.write(draft)


def _publish(directory: RunDirectory, folds: Folds, judgements: Judgements, about: dict[str, Any]) -> None:
    def write(draft: Path) -> None:
        for fold in folds.cells:
            shutil.copytree(_done(directory, fold), draft / fold.name)
        judgements.write(draft)
        (draft / "config.json").write_text(json.dumps({"kind": KIND, "folds": folds.as_json(), **about}, indent=1))

    checkpoints.publish(write, directory.directory("output"), base=about["base"])


def _result(folds: Folds, material: Material, judgements: Judgements) -> dict[str, Any]:
    """The figures of the stage, under the names that those of a single reward model have where they mean the same."""
    found = qualify(judgements)
    pooled = [(one.probability, one.violates) for one in judgements.labels]
    return {
        **found,
        "pairs": found["comparisons"],
        "rankings": sum(bool(one.pairs) for one in material.rankings),
        "trained_pairs": sum(len(one.pairs) for one in material.rankings),
        "trained_labels": len(material.violations),
        "flags": len(pooled),
        "flag_auc": statistics.auc([p for p, _ in pooled], [violates for _, violates in pooled]),
        "flag_auc_by_rule": found["rule_auc"],
        "measured_against": "held-out labels",
        "prompt_folds": folds.prompt_folds,
        "annotator_folds": folds.annotator_folds,
    }
