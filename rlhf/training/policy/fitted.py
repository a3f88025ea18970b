"""Fits an adapter to given completions by the loop of a fine-tune, and stops at the KL."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rlhf.training.artefacts import policy_adapter
from rlhf.training.artefacts.resume import Checkpointer
from rlhf.training.fine_tuning.config import TrainingPlan
from rlhf.training.fine_tuning.fit import Fit
from rlhf.training.fine_tuning.measuring import ExampleScorer
from rlhf.training.fine_tuning.objectives import Objective
from rlhf.training.fine_tuning.progress import Report, without_repeats
from rlhf.training.fine_tuning.results import FILE, Results
from rlhf.training.fine_tuning.scopes import LoraLearner
from rlhf.training.model import choice
from rlhf.training.model.adapter import Adapter
from rlhf.training.model.decoder import Decoder
from rlhf.training.policy import publishing
from rlhf.training.policy.config import FittedConfig
from rlhf.training.policy.inputs import PolicyInputs
from rlhf.training.policy.kl import KlStop
from rlhf.training.reward.model import weights_digest
from rlhf.training.run import RunDirectory, Stopped

NAMES = {
    "train/loss": "loss",
    "train/reward_accuracy": "accuracy",
    "train/reward_margin": "margin",
    "train/learning_rate": "lr",
    "train/grad_norm": "policy/gradient_norm",
}
"""A fine-tune's metrics under the names of the policy stage's."""


@dataclass
class FittingRun:
    """A run with its inputs and its learner loaded."""

    directory: RunDirectory
    inputs: PolicyInputs
    config: FittedConfig
    learner: LoraLearner
    kl: KlStop
    asked: FittedConfig

    @classmethod
    def start(
        cls,
        directory: RunDirectory,
        inputs: PolicyInputs,
        config: FittedConfig,
        transformer: Decoder,
        asked: FittedConfig,
    ) -> "FittingRun":
        """The adapter changes the transformer's top. `asked`: the settings before `inputs.shaped`."""
        start = inputs.starting_adapter(transformer, seed=directory.seed)
        learner = (
            LoraLearner.fresh(transformer, config.fine_tuning(), directory.seed)
            if start is None
            else LoraLearner(transformer, start.copy())
        )
        identity = identity_of(directory, inputs, asdict(config), transformer)
        kl = KlStop.over(
            learner.transformer,
            inputs.prompt_ids(),
            config,
            seed=directory.seed,
            checkpointer=Checkpointer(directory.checkpoint / "within", identity),
            poll=directory.stop_if_asked,
            start=start,
        )
        return cls(directory, inputs, config, learner, kl, asked)

    @property
    def reference(self) -> Adapter | None:
        """What the loss compares with; None is the base without an adapter."""
        return self.kl.start if self.config.reference == "live" else None

    def checkpointer(self, name: str) -> Checkpointer:
        identity = identity_of(self.directory, self.inputs, asdict(self.config), self.learner.transformer)
        return Checkpointer(self.directory.checkpoint / name, identity)

    def fit(self, objective: Objective, *, name: str, report: Report, stop: "StopAtKl") -> Fit:
        """Train to the end, or to the KL stop. Raises Stopped."""
        config = self.config
        plan = TrainingPlan(
            n_epochs=config.n_epochs,
            batch_size=min(config.batch_size, len(objective)),
            learning_rate_multiplier=1.0,
            learning_rate=config.learning_rate,
            items=len(objective),
        )
        scorer = ExampleScorer(self.learner, objective.examples, self.inputs.tokenizer.padding_id)
        fit = Fit(self.learner, (objective, scorer), None, plan, config.fine_tuning(), seed=self.directory.seed)
        checkpointer = self.checkpointer(name)
        fit.resume(checkpointer)
        scorer.prepare(self.directory.stop_if_asked)
        stop.watch(fit)
        results = Results(self.directory.path / FILE, after_step=fit.progress.step)
        if not fit.train(report, stop, checkpointer, results) and not stop.past:
            raise Stopped
        return fit

    def publish(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        made = {**self.kl.facts(), **facts, **self.inputs.start_facts(self.asked)}
        return publishing.publish(self.directory, self.inputs, self.learner.adapter, made, asdict(self.config))


class StopAtKl:
    """Asks a fit to stop when its run was asked to, or when the KL, measured now and then, is past the limit."""

    def __init__(self, run: FittingRun, checks: int) -> None:
        self.run, self.checks = run, checks
        self.past = False
        self._measured_at = 0

    def watch(self, fit: Fit) -> None:
        self._fit = fit
        self._every = max(1, -(-fit.plan.steps // self.checks)) if self.checks else 0

    def should_stop(self) -> bool:
        if self.run.directory.should_stop():
            return True
        step = self._fit.progress.step
        if self._every and step % self._every == 0 and step > self._measured_at:
            self.measure(step)
        return self.past

    def measure(self, step: int) -> None:
        """Past the limit `past` is set, and the caller falls back."""
        self._measured_at = step
        if not self.run.kl.holds(self.run.learner.adapter, step):
            self.past = True


def run(
    directory: RunDirectory, config: FittedConfig, make: Callable[["FittingRun"], Objective], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """A whole run of a way that learns from the snapshot's replies: `make` gives its objective."""
    inputs = PolicyInputs.read(directory, config.max_prompt_tokens)
    shaped = inputs.shaped(config)
    run = FittingRun.start(directory, inputs, shaped, load_base(directory, inputs, config), asked=config)
    objective = make(run)
    stop = StopAtKl(run, config.kl_checks)
    report = RunReport(directory, run.kl)
    fit = run.fit(objective, name="fit", report=report.step, stop=stop)
    if not stop.past:
        stop.measure(fit.progress.step)
    report.end(fit.progress.step, fit.plan.steps)
    if stop.past:
        run.kl.fall_back(run.learner.adapter)
    stopped_by, steps = ("kl", run.kl.steps) if stop.past else ("steps", fit.progress.step)
    return run.publish({**facts, "steps": steps, "examples": len(objective), "stopped_by": stopped_by})


def load_base(directory: RunDirectory, inputs: PolicyInputs, config: FittedConfig) -> Decoder:
    """With as many layers on top as the adapter changes, or as the one that it goes on from does."""
    start = None if inputs.start is None else str(inputs.start.directory.parent)
    wanted = policy_adapter.layers_over(start, config.adapted_layers)
    layers = min(wanted, choice.layers_of(inputs.base))
    return directory.load_base(inputs.base, adapted_layers=layers)


class RunReport:
    """Reports the steps of a fit, each with the KL where it was measured just before, and a last line with the KL at
    the end. `before`: steps reported of earlier fits of the run; `fits`: how many there will be."""

    def __init__(self, directory: RunDirectory, kl: KlStop, *, before: int = 0, fits: int = 1) -> None:
        self.report_new, self.kl, self.before, self.fits = without_repeats(directory), kl, before, fits
        self.first: Mapping[str, float] = {}
        """Figures for the first step."""

    def step(self, step: int, steps: int, values: Mapping[str, Any]) -> None:
        figures = {**self.first, **self.kl.figures()}
        self.first = {}
        self._add(step, steps, {NAMES[name]: value for name, value in values.items() if name in NAMES} | figures)

    def end(self, step: int, steps: int) -> None:
        self._add(step + 1, steps, self.kl.figures())

    def _add(self, step: int, steps: int, values: Mapping[str, Any]) -> None:
        self.report_new(self.before + step, self.fits * (steps + 1), values)


def identity_of(
    directory: RunDirectory, inputs: PolicyInputs, config: Mapping[str, Any], transformer: Decoder
) -> dict[str, Any]:
    """What must be equal for a checkpoint to be continued."""
    return {
        "algorithm": str(directory["algorithm"]),
        "base": weights_digest(inputs.base),
        "backend": choice.mark(transformer),
        "snapshot": directory.directory("snapshot").name,
        "seed": directory.seed,
        "config": dict(config),
        "start": None if inputs.start is None else inputs.start.sha256,
    }
