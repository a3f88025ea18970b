"""Teaches a network the text: as many steps as fit into the time, with checkpoints from which it goes on to the bit.

How many steps fit is timed once, at the first start, and kept: what comes out depends on it, and not on how often the
teaching was interrupted. Each step draws from a generator of its own.
"""

import json
import math
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from rlhf.training.artefacts import checkpoints
from rlhf.training.artefacts.resume import Checkpointer
from rlhf.training.lecture import measuring_networks
from rlhf.training.lecture.material import CorpusDirectory
from rlhf.training.lecture.networks import RECURRENT, NetworkShape, build
from rlhf.training.run import RunDirectory, Stopped

WEIGHTS, SHAPE, FIGURES = "weights.safetensors", "shape.json", "figures.json"
MASKED = 0.15
"""Of the words that BERT is taught at a time (Devlin et al. 2019, section 3.1); here each of them is the mask."""
TIMED_STEPS = 6
CHECKPOINT_EVERY_S = 30.0
CURVE_POINTS = 8
QUICK_TOKENS = 6_000
"""Of the held-out text, for the curve while it is taught."""
CLIP = 1.0
WARM_UP = 0.02
LOWEST = 0.05
"""Of the learning rate, at the last step."""


@dataclass(frozen=True)
class Recipe:
    """What a network is made of and how it learns; measured on two cores."""

    shape: NetworkShape
    batch: int
    length: int
    learning_rate: float


def _recipe(family: str, vocabulary: int) -> Recipe:
    if family in RECURRENT:
        rate = 4e-3 if family == "lstm" else 1e-3
        return Recipe(NetworkShape(family, vocabulary, width=256, layers=1), 8, 48, rate)
    shape = NetworkShape(family, vocabulary + (family == "bert"), width=192, layers=3, heads=6, positions=128)
    return Recipe(shape, 8, 96, 3e-3 if family == "gpt" else 2e-3)


def teach(family: str, directory: RunDirectory, material: CorpusDirectory, target: Path) -> dict[str, Any]:
    """{"models": {family: figures}, "over_seconds": curve}."""
    if not (target / FIGURES).exists():
        taught = NetworkTeacher(family, directory, material)
        taught.run()
        checkpoints.publish(partial(_write, taught), target)
    found: dict[str, Any] = json.loads((target / FIGURES).read_text())
    return found


def _write(taught: "NetworkTeacher", folder: Path) -> None:
    save_file({name: value.contiguous() for name, value in taught.model.state_dict().items()}, folder / WEIGHTS)
    (folder / SHAPE).write_text(json.dumps(taught.recipe.shape.as_json()))
    (folder / FIGURES).write_text(json.dumps(taught.figures(), indent=1))


class NetworkTeacher:
    """One network while it learns."""

    def __init__(self, family: str, directory: RunDirectory, material: CorpusDirectory) -> None:
        self.family, self.directory, self.material = family, directory, material
        self.recipe = _recipe(family, material.vocabulary.size)
        if changed := directory.config.get("shape"):
            length = int(directory.config.get("length", self.recipe.length))
            self.recipe = replace(self.recipe, shape=replace(self.recipe.shape, **changed), length=length)
        torch.manual_seed(directory.seed)
        self.model: nn.Module = build(self.recipe.shape)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1.0, betas=(0.9, 0.98), weight_decay=0.01)
        self.tokens = torch.from_numpy(material.training[0])
        self.state: tuple[Tensor, ...] | None = None
        self.step, self.steps, self.seconds = 0, 0, 0.0
        self.curve: list[dict[str, Any]] = []
        identity = {"family": family, "shape": self.recipe.shape.as_json(), "sha256": material.facts["sha256"]}
        self.checkpointer = Checkpointer(directory.checkpoint / family, {**identity, "seed": directory.seed})

    # --- from start to end ----------------------------------------------------------------------------------------

    def run(self) -> None:
        """Raises Stopped once a checkpoint is written."""
        if not self._go_on():
            self._plan()
        began, saved_at = time.process_time(), time.monotonic()
        while self.step < self.steps:
            loss = self._learn(self.step)
            self.step += 1
            now = time.process_time()
            self.seconds, began = self.seconds + now - began, now
            if self._is_point_of_curve():
                self._measure_quickly()
                began = time.process_time()
            self._report(loss)
            if self.directory.should_stop() and self.step < self.steps:
                self._save()
                raise Stopped
            if time.monotonic() - saved_at > CHECKPOINT_EVERY_S:
                self._save()
                saved_at = time.monotonic()

    def _plan(self) -> None:
        given = int(self.directory.config.get("steps") or 0)
        self.steps = given or max(1, int(60 * float(self.directory["minutes"]) / self._seconds_a_step()))

    def _seconds_a_step(self) -> float:
        """Timed on weights that are thrown away."""
        other = NetworkTeacher(self.family, self.directory, self.material)
        other.steps = TIMED_STEPS
        began = time.process_time()
        for step in range(TIMED_STEPS):
            other._learn(step)
        return (time.process_time() - began) / TIMED_STEPS

    def _report(self, loss: float) -> None:
        if self.step % max(1, self.steps // 200) == 0 or self.step == self.steps:
            self.directory.report(self.step, self.steps, {f"{self.family}/loss": loss})

    # --- one step -------------------------------------------------------------------------------------------------

    def _learn(self, step: int) -> float:
        """The loss in nats."""
        torch.manual_seed(self.directory.seed * 1_000_003 + step)
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(step)
        loss = self._loss_of_gaps(step) if self.family == "bert" else self._loss_of_next(step)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()
        return float(loss.item())

    def _rate(self, step: int) -> float:
        """Up over the first steps, then down by a half cosine."""
        warm = max(1, int(self.steps * WARM_UP))
        if step < warm:
            return self.recipe.learning_rate * (step + 1) / warm
        share = (step - warm) / max(1, self.steps - warm)
        return self.recipe.learning_rate * (LOWEST + (1 - LOWEST) * (1 + math.cos(math.pi * share)) / 2)

    def _loss_of_next(self, step: int) -> Tensor:
        given, wanted = self._stretch(step) if self.family in RECURRENT else self._windows(step)
        found, state = self.model(given, self.state)
        self.state = None if state is None else tuple(part.detach() for part in state)
        return F.cross_entropy(found.flatten(0, 1), wanted.flatten())

    def _stretch(self, step: int) -> tuple[Tensor, Tensor]:
        """The next words of each of `batch` places in the text: the state is carried on over steps."""
        batch, length = self.recipe.batch, self.recipe.length
        lane = (len(self.tokens) - 1) // batch
        first = (step * length) % max(1, lane - length)
        starts = torch.arange(batch)[:, None] * lane + first + torch.arange(min(length, lane))
        return self.tokens[starts], self.tokens[starts + 1]

    def _windows(self, step: int) -> tuple[Tensor, Tensor]:
        """Places drawn at random."""
        length = min(self.recipe.length, len(self.tokens) - 1)
        drawn = np.random.default_rng([self.directory.seed, step]).integers(
            0, len(self.tokens) - length, self.recipe.batch
        )
        places = torch.from_numpy(drawn)[:, None] + torch.arange(length)
        return self.tokens[places], self.tokens[places + 1]

    def _loss_of_gaps(self, step: int) -> Tensor:
        given, _ = self._windows(step)
        random = np.random.default_rng([self.directory.seed, step, 1])
        gaps = torch.from_numpy(random.random(given.shape) < MASKED)
        gaps[0, 0] = True  # at least one
        found, _ = self.model(given.masked_fill(gaps, self.recipe.shape.vocabulary - 1))
        return F.cross_entropy(found[gaps], given[gaps])

    # --- checkpoints ----------------------------------------------------------------------------------------------

    def _save(self) -> None:
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        for place, value in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{place}.{name}": part for name, part in value.items()}
        tensors |= {f"state.{place}": part for place, part in enumerate(self.state or ())}
        values = {"step": self.step, "steps": self.steps, "seconds": self.seconds, "curve": self.curve}
        self.checkpointer.save(self.step, tensors, values)

    def _go_on(self) -> bool:
        """Whether there was a checkpoint."""
        found = self.checkpointer.load()
        if found is None:
            return False
        tensors, values = found
        self.step, self.steps = values["step"], values["steps"]
        self.seconds, self.curve = values["seconds"], values["curve"]
        self.model.load_state_dict(_under("model.", tensors))
        state: dict[int, dict[str, Tensor]] = {}
        for name, part in _under("optimizer.", tensors).items():
            place, _, key = name.partition(".")
            state.setdefault(int(place), {})[key] = part
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.state = tuple(part for _, part in sorted(_under("state.", tensors).items())) or None
        return True

    # --- figures --------------------------------------------------------------------------------------------------

    def _is_point_of_curve(self) -> bool:
        """Each point after half as many steps as the next."""
        return self.step in {max(1, self.steps >> place) for place in range(CURVE_POINTS)}

    def _measure_quickly(self) -> None:
        figures = measuring_networks.figures(self.model, self.recipe.shape, self.material, most_tokens=QUICK_TOKENS)
        self.curve.append({"seconds": round(self.seconds, 1), "step": self.step, **figures})

    def figures(self) -> dict[str, Any]:
        parameters = sum(weights.numel() for weights in self.model.parameters())
        beside = {"parameters": parameters, "bytes": 4 * parameters, "seconds": round(self.seconds, 1)}
        taught = self.steps * self.recipe.batch * self.recipe.length
        beside["epochs"] = round(taught / max(1, len(self.tokens)), 3)
        measured = measuring_networks.figures(self.model, self.recipe.shape, self.material)
        return {"models": {self.family: {**measured, **beside}}, "over_seconds": self.curve}


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): part for name, part in tensors.items() if name.startswith(prefix)}
