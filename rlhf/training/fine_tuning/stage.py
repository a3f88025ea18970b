"""The fine_tune stage: trains a base on a file of rows, publishes the policy and compares it with its base."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor

from rlhf.training import processes
from rlhf.training.artefacts import policy_directory
from rlhf.training.artefacts.resume import Checkpointer
from rlhf.training.fine_tuning import held_out, reinforcement, scopes
from rlhf.training.fine_tuning.comparison import compare
from rlhf.training.fine_tuning.config import FORMS, METHODS, SCOPES, FineTuneConfig, TrainingPlan, choose
from rlhf.training.fine_tuning.examples import Example, answering, supervised
from rlhf.training.fine_tuning.fit import Fit
from rlhf.training.fine_tuning.measuring import ExampleScorer
from rlhf.training.fine_tuning.objectives import Dpo, Objective, Supervised
from rlhf.training.fine_tuning.progress import without_repeats
from rlhf.training.fine_tuning.results import FILE, Results
from rlhf.training.fine_tuning.rows import DataRow, NoRows, read_rows
from rlhf.training.hyperparameters import require
from rlhf.training.model import choice
from rlhf.training.model.decoder import Decoder
from rlhf.training.model.transformer import Transformer
from rlhf.training.reward.model import weights_digest
from rlhf.training.run import RunDirectory, Stopped
from rlhf.training.tokens import ChatTokenizer

TRAINED_PART = {
    "head": "its output layer alone",
    "blocks": "its last blocks",
    "lora": "LoRA adapters, merged",
    "full": "all of its weights",
}


def run(directory: RunDirectory) -> dict[str, Any]:
    if _one_of(directory, "method", METHODS) == "reinforcement":
        return reinforcement.run(directory)
    task = Task(directory)
    fit = task.fit()
    checkpointer = Checkpointer(directory.checkpoint, task.identity(fit.plan))
    fit.resume(checkpointer)
    task.prepare(fit)
    report = without_repeats(directory)
    if fit.progress.step == 0:
        before = fit.measure()
        counts = {"parameters": task.parameters, "parameters_trained": scopes.count(task.learner.parameters())}
        report(0, fit.plan.steps, (before.named("eval") if before else {}) | counts | fit.position())
    results = Results(directory.path / FILE, after_step=fit.progress.step)
    if not fit.train(report, directory, checkpointer, results):
        raise Stopped
    return task.finish(fit)


class Task:
    """The run's configuration, with its rows read and its learner loaded."""

    def __init__(self, directory: RunDirectory) -> None:
        self.directory, self.config = directory, FineTuneConfig.read(directory.hyperparameters)
        self.method = _one_of(directory, "method", METHODS)
        self.scope = _one_of(directory, "scope", SCOPES)
        self.form = _one_of(directory, "form", FORMS)
        pairs = self.method != "dpo" or self.form == "preference"
        require(pairs, "form", self.form, "dpo learns from rows of the form preference")
        self.base = directory.directory("base")
        self.tokenizer = ChatTokenizer.load(self.base)
        rows, validation = self._rows("data"), self._rows("validation")
        share = float(directory.config.get("hold_out", held_out.SHARE))
        self.training_rows, self.held_out_rows = held_out.split(
            rows or [], validation, share=share, seed=directory.seed
        )
        self.placement = directory.keep_to(self.base, scopes.placed(self.scope, directory.placement))
        self.learner = scopes.make(self.scope, self.base, self.config, seed=directory.seed, placement=self.placement)
        directory.note_computed_by(self.learner.transformer)
        self.limit = min(self.config.max_tokens, self.learner.transformer.config.max_positions)
        self.parameters = scopes.count(list(policy_directory.weights(self.base).values()))

    def _rows(self, key: str) -> list[DataRow] | None:
        return read_rows(Path(self.directory[key]), self.form) if self.directory.config.get(key) else None

    def fit(self) -> Fit:
        training, validation = (
            self._objective(self.training_rows),
            self._objective(self.held_out_rows) if self.held_out_rows else None,
        )
        if not len(training):
            raise NoRows(Path(self.directory["data"]))
        plan = choose(
            self.config,
            items=len(training),
            hidden_size=self.learner.transformer.config.hidden_size,
            scope=self.scope,
            method=self.method,
        )
        held_out_part = (validation, self._scorer(validation)) if validation else None
        return Fit(
            self.learner,
            (training, self._scorer(training)),
            held_out_part,
            plan,
            self.config,
            seed=self.directory.seed,
        )

    def prepare(self, fit: Fit) -> None:
        fit.scorer.prepare(self.directory.stop_if_asked)
        if fit.held_out is not None:
            fit.held_out[1].prepare(self.directory.stop_if_asked)

    def _scorer(self, objective: Objective) -> ExampleScorer:
        return ExampleScorer(self.learner, objective.examples, self.tokenizer.padding_id)

    def _objective(self, rows: Sequence[DataRow]) -> Objective:
        if self.method == "dpo":
            examples = [self._answering(row, side) for row in rows for side in (row.completion, row.rejected or "")]
            poll, padding = self.directory.stop_if_asked, self.tokenizer.padding_id
            return Dpo.over(self.learner, examples, padding, beta=self.config.beta, poll=poll)
        weight = self.config.prompt_loss_weight
        return Supervised(
            [
                example
                for row in rows
                for example in supervised(row, self.tokenizer, prompt_weight=weight, limit=self.limit)
            ]
        )

    def _answering(self, row: DataRow, answer: str) -> Example:
        return answering(row.prompt, answer, self.tokenizer, limit=self.limit)

    def identity(self, plan: TrainingPlan) -> dict[str, Any]:
        """What must be equal for a checkpoint to be continued."""
        files = {key: _digest(self.directory.config.get(key)) for key in ("data", "validation")}
        asked = {"method": self.method, "scope": self.scope, "form": self.form, "seed": self.directory.seed}
        whose = {"base": weights_digest(self.base), "backend": choice.mark(self.learner.transformer)}
        return {**asked, **files, **whose, "config": asdict(self.config), **asdict(plan)}

    def finish(self, fit: Fit) -> dict[str, Any]:
        """Compare, publish, and return the result."""
        state = self.learner.merge_into(policy_directory.weights(self.base))
        comparison = self._compare(state) if self.held_out_rows else None
        last = fit.progress.checkpoints[-1]
        figures = {
            "trained_tokens": fit.progress.tokens,
            "n_epochs": fit.plan.n_epochs,
            "batch_size": fit.plan.batch_size,
            "learning_rate_multiplier": fit.plan.learning_rate_multiplier,
            "parameters": self.parameters,
            "parameters_trained": scopes.count(self.learner.parameters()),
            "train_loss": last["train_loss"],
            "eval_loss": last["eval_loss"],
        }
        self._publish(state, figures, comparison)
        return {
            "output": str(self.directory.directory("output")),
            **figures,
            "learning_rate": fit.plan.learning_rate,
            "steps": fit.plan.steps,
            "rows": len(self.training_rows),
            "held_out_rows": len(self.held_out_rows),
            "results_csv": FILE,
            "checkpoints": list(fit.progress.checkpoints),
            "comparison": comparison,
        }

    def _compare(self, state: dict[str, Tensor]) -> dict[str, Any]:
        """With the tuned weights rounded as they will be published."""
        return compare(
            self.learner.transformer,
            self._tuned(state),
            self.tokenizer,
            self.training_rows,
            self.held_out_rows,
            shots=self.config.shots,
            limit=self.limit,
            seed=self.directory.seed,
            poll=self.directory.stop_if_asked,
        )

    def _tuned(self, state: dict[str, Tensor]) -> Decoder:
        base = self.learner.transformer
        if isinstance(base, Transformer):
            config = replace(base.config, tied=False) if self.scope == "head" else base.config
            rounded = {name: tensor.to(base.device, base.dtype) for name, tensor in state.items()}
            return Transformer.of(config, rounded, adapted_layers=1)
        with TemporaryDirectory(dir=self.directory.path) as name:  # transformers loads from files alone
            policy_directory.write_weights(Path(name), self.base, state)
            return choice.load(Path(name), adapted_layers=1, placement=self.placement)

    def _publish(self, state: dict[str, Tensor], figures: dict[str, Any], comparison: dict[str, Any] | None) -> None:
        if not processes.is_main():
            return
        given = self.directory.config
        facts = {
            "method": self.method,
            "learnt": TRAINED_PART[self.scope],
            "rows": len(self.training_rows),
            "data (sha256)": _digest(given.get("data")),
            **figures,
            "seed": self.directory.seed,
            "hyperparameters": {name: value for name, value in asdict(self.config).items() if value is not None},
        }
        if comparison:
            facts |= {f"held out: {side}": comparison[side] for side in ("base", "few_shot", "fine_tuned")}
        provenance = policy_directory.Provenance(
            text="Fine-tuned from `{base}` on a file of examples: "
            + TRAINED_PART[self.scope]
            + ". Weights are in bf16.",
            facts=facts | dict(given.get("facts") or {}),
            tags=("fine-tune", self.method, self.scope, *(["simulated-feedback"] if given.get("simulated") else [])),
            title=given.get("label"),
            config={"tie_word_embeddings": False} if self.scope == "head" else {},
        )
        output, served = self.directory.directory("output"), self.directory.served
        policy_directory.publish(output, provenance, base=self.base, state=state, served=served)


def _one_of(directory: RunDirectory, key: str, known: Sequence[str]) -> str:
    """The value under a key. Raises BadHyperparameter where it is none of the known."""
    value = str(directory[key])
    require(value in known, key, value, f"must be one of {', '.join(known)}")
    return value


def _digest(path: str | None) -> str | None:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest() if path else None
