"""The training loop of a fine-tune: each epoch every item once in a seeded order; resumes bit for bit."""

import math
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from rlhf.training import processes
from rlhf.training.artefacts.resume import Checkpointer
from rlhf.training.fine_tuning.config import FineTuneConfig, TrainingPlan
from rlhf.training.fine_tuning.measuring import BATCH_TOKENS, ExampleScorer
from rlhf.training.fine_tuning.objectives import Figures, Objective, measure, portions
from rlhf.training.fine_tuning.progress import Report
from rlhf.training.fine_tuning.results import Results
from rlhf.training.fine_tuning.scopes import Learner

EVALUATIONS, APART = 8, 20
"""Held-out rows are measured at least so often in a run with long epochs, and at least so many steps apart."""
SAVING_SHARE = 10
"""At most one second in so many goes to writing checkpoints."""


class Diverged(Exception):
    """A loss or a gradient is not finite; nothing was updated with it."""

    def __init__(self, what: str, step: int) -> None:
        super().__init__(f"{what} is not finite in step {step}: try a smaller learning_rate_multiplier")
        self.what = what
        self.step = step


class Interrupted(Exception):
    """Asked to stop in the middle of a step, before anything was updated."""


class StopSignal(Protocol):
    """Whether the run was asked to stop."""

    def should_stop(self) -> bool: ...


@dataclass
class Progress:
    """The state of a run besides weights and Adam's moments."""

    step: int = 0
    tokens: int = 0  # of the items seen so far, prompt and answer
    items: int = 0
    epoch: Figures = field(default_factory=Figures)  # summed since the epoch began
    checkpoints: tuple[dict[str, Any], ...] = ()  # figures at the end of each epoch

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Progress":
        return cls(**{**values, "epoch": Figures(**values["epoch"]), "checkpoints": tuple(values["checkpoints"])})


class Fit:
    """Trains one learner on its items."""

    def __init__(
        self,
        learner: Learner,
        training: tuple[Objective, ExampleScorer],
        held_out: tuple[Objective, ExampleScorer] | None,
        plan: TrainingPlan,
        config: FineTuneConfig,
        *,
        seed: int,
    ) -> None:
        self.learner, self.plan, self.config, self.seed = learner, plan, config, seed
        self.objective, self.scorer = training
        self.held_out = held_out
        self.progress = Progress()
        self.optimizer = torch.optim.AdamW(
            learner.parameters(), lr=plan.learning_rate, weight_decay=config.weight_decay, fused=True
        )

    def train(self, report: Report, stop: StopSignal, checkpointer: Checkpointer, results: Results) -> bool:
        """Train to the end. False: asked to stop before it, with the state in the checkpoint."""
        saved_at, took = time.monotonic(), 0.0
        while self.progress.step < self.plan.steps:
            try:
                self._step(report, stop, results)
            except Interrupted:
                self.save(checkpointer)
                return False
            waited = time.monotonic() - saved_at
            if waited >= max(self.config.checkpoint_seconds, SAVING_SHARE * took):
                started = time.monotonic()
                self.save(checkpointer)
                saved_at = time.monotonic()
                took = saved_at - started
        self.save(checkpointer)
        self.optimizer.zero_grad()
        self.optimizer.state.clear()  # the comparison that follows needs the memory
        return True

    def measure(self) -> Figures | None:
        """Figures of the current model on the held-out items."""
        return measure(*self.held_out) if self.held_out is not None else None

    def _step(self, report: Report, stop: StopSignal, results: Results) -> None:
        progress, plan = self.progress, self.plan
        epoch, position = divmod(progress.step, plan.steps_per_epoch)
        items = self._order(epoch)[position * plan.batch_size : (position + 1) * plan.batch_size]
        rate = self.rate()
        figures, norm = self._update(items, rate, stop)
        progress.step += 1
        progress.items += len(items)
        progress.tokens += sum(self.objective.examples[index].tokens for index in self.objective.members(items))
        progress.epoch += figures
        ends = position + 1 == plan.steps_per_epoch
        validation = self._validation(ends)
        values = figures.named("train") | (validation.named("eval") if validation else {})
        values |= {"train/learning_rate": rate, "train/grad_norm": norm}
        if ends:
            self._end_epoch(epoch + 1, validation)
        results.add(progress.step, progress.tokens, progress.items, figures, validation)
        report(progress.step, plan.steps, values | self.position())

    def position(self) -> dict[str, float]:
        """How far the run is, in epochs and tokens."""
        done = self.progress.step / self.plan.steps_per_epoch
        return {
            "epoch": round(done, 4),
            "epochs_done": int(done),
            "n_epochs": self.plan.n_epochs,
            "num_tokens": self.progress.tokens,
        }

    def rate(self) -> float:
        """The learning rate: linear warm-up, then linear decay to 0."""
        step, steps = self.progress.step, self.plan.steps
        warm = min(math.ceil(self.config.warmup_share * steps), steps - 1)
        if step < warm:
            return self.plan.learning_rate * (step + 1) / (warm + 1)
        return self.plan.learning_rate * (steps - step) / (steps - warm)

    def _update(self, items: Sequence[int], rate: float, stop: StopSignal) -> tuple[Figures, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        total, weight = Figures(), self.objective.weight(items)
        parts = portions(self.objective, processes.share(items), BATCH_TOKENS)
        for portion, counts in processes.in_step(parts, list(items[:1])):
            if stop.should_stop():
                raise Interrupted
            loss, figures = self.objective.loss(self.scorer, portion)
            (loss / weight if counts else 0.0 * loss).backward()  # type: ignore[no-untyped-call]
            total += figures if counts else Figures()
        total = total.over_processes()
        if not math.isfinite(total.loss):
            raise Diverged("the loss", self.progress.step + 1)
        processes.sum_gradients(self.learner.parameters())
        norm = float(torch.nn.utils.clip_grad_norm_(self.learner.parameters(), self.config.max_grad_norm))
        if not math.isfinite(norm):
            raise Diverged("the gradient", self.progress.step + 1)
        self.optimizer.step()
        return total, norm

    def _order(self, epoch: int) -> list[int]:
        order = list(range(len(self.objective)))
        random.Random(f"{self.seed}/{epoch}").shuffle(order)
        return order

    def _validation(self, ends: bool) -> Figures | None:
        """Measured at the end of each epoch, and between where epochs are long."""
        often = max(APART, self.plan.steps // EVALUATIONS)
        between = often < self.plan.steps_per_epoch and self.progress.step % often == 0
        return self.measure() if ends or between else None

    def _end_epoch(self, epoch: int, validation: Figures | None) -> None:
        figures = {
            "step": self.progress.step,
            "epoch": epoch,
            "train_loss": self.progress.epoch.mean_loss,
            "train_token_accuracy": self.progress.epoch.token_accuracy,
            "eval_loss": validation.mean_loss if validation else None,
            "eval_token_accuracy": validation.token_accuracy if validation else None,
        }
        self.progress.checkpoints = (*self.progress.checkpoints, figures)
        self.progress.epoch = Figures()

    def save(self, checkpointer: Checkpointer) -> None:
        tensors: dict[str, Tensor] = {}
        moments = self.optimizer.state_dict()["state"]
        for index, parameter in enumerate(self.learner.parameters()):
            tensors[f"weight/{index}"] = parameter.detach()
            tensors |= {f"adam/{index}/{name}": tensor for name, tensor in moments.get(index, {}).items()}
        checkpointer.save(self.progress.step, tensors, self.progress.as_json())

    def resume(self, checkpointer: Checkpointer) -> None:
        """Restore the newest checkpoint, where there is one."""
        saved = checkpointer.load()
        if saved is None:
            return
        tensors, values = saved
        with torch.no_grad():
            for index, parameter in enumerate(self.learner.parameters()):
                parameter.copy_(tensors[f"weight/{index}"])
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            if key.startswith("adam/"):
                _, index_text, name = key.split("/")
                state.setdefault(int(index_text), {})[name] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        self.progress = Progress.from_json(values)
