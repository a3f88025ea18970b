"""The state of a PPO run between iterations, saved to a checkpoint and restored from it."""

import math
import random
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from rlhf.training.model.adapter import Adapter
from rlhf.training.model.decoder import Decoder
from rlhf.training.ppo.brake import KlBrake
from rlhf.training.ppo.config import PpoConfig
from rlhf.training.ppo.lagrange import Multipliers
from rlhf.training.ppo.shaping import ScoreScale
from rlhf.training.ppo.value import RidgeValue


@dataclass
class Best:
    """The iteration to which an alarm returns: of those without a sign of trouble the one with the highest figure."""

    iteration: int = 0  # finished before its weights sampled
    figure: float = -math.inf  # the watching judge's score, or the reward where none watches
    kl_nats: float = 0.0
    anchor_kl_nats: float = 0.0


class PpoState:
    """Weights, optimiser, value, score scales, brake, multipliers, random numbers and metrics."""

    def __init__(
        self, transformer: Decoder, prompts: int, config: PpoConfig, seed: int, start: Adapter | None = None
    ) -> None:
        """`start`: the adapter that training goes on from, by default a fresh one; it is not changed."""
        self.config = config
        self.iteration = 0  # iterations finished
        self.start = start
        fresh = start.copy() if start is not None else None
        self.adapter = fresh or Adapter.create(transformer, rank=config.rank, alpha=config.alpha, seed=seed)
        self.previous = self._clone()  # the weights whose rollout was last measured below the KL stop
        self.optimizer = torch.optim.Adam(self.adapter.parameters(), lr=config.learning_rate, eps=config.adam_epsilon)
        self.value = RidgeValue(transformer.config.hidden_size, ridge=config.ridge, clip=config.cliprange_value)
        self.scale = ScoreScale(0.0, 1.0)
        self.watch_scale = ScoreScale(0.0, 1.0)
        self.brake = KlBrake()
        self.multipliers = Multipliers()
        self.best = Best()
        self.best_weights = self._clone()
        self.start_kl = 0.0  # nats a completion from the reference, where training starts
        self.kl_nats = 0.0  # from where training started
        self.anchor_kl_nats = 0.0  # from the base without an adapter
        self.metrics: list[dict[str, float]] = []
        self.prompts = prompts
        self.queue: list[int] = []  # prompts of this pass over all of them that are still to come
        self.random = random.Random(seed)
        self.generator = torch.Generator().manual_seed(seed)

    @property
    def beta(self) -> float:
        config = self.config
        return self.brake.beta(
            base=config.kl_coef, target=self.target_kl, gain=config.kl_gain, scale=config.target_kl
        )

    @property
    def reference(self) -> Adapter | None:
        """What the KL is measured from; None is the base without an adapter."""
        return self.start if self.config.reference == "live" else None

    @property
    def target_kl(self) -> float:
        """The setting's, but so far above where training starts that a run that goes on can learn something: it
        neither stops at once nor gets the whole of the setting anew."""
        config = self.config
        return max(config.target_kl, self.start_kl + config.kl_growth) if self.start_kl else config.target_kl

    @property
    def stop_kl(self) -> float:
        """As far above the target as the settings say."""
        return self.config.stop_kl + (self.target_kl - self.config.target_kl)

    def begin_at(self, kl_nats: float) -> None:
        """Where a run that goes on stands from its reference before its first update."""
        self.start_kl = self.brake.level = kl_nats

    def draw_prompts(self, count: int) -> list[int]:
        """Indices of the next prompts: every prompt once, in random order, before any comes again."""
        while len(self.queue) < count:
            again = list(range(self.prompts))
            self.random.shuffle(again)
            self.queue += again
        drawn, self.queue = self.queue[:count], self.queue[count:]
        return drawn

    def draw_seed(self) -> int:
        return int(torch.randint(2**62, (), generator=self.generator))

    def draw_batches(self, rows: int) -> list[list[Tensor]]:
        """For each inner epoch the rows of a rollout in random order, cut into minibatches."""
        size = self.config.minibatch_rows
        return [
            list(torch.split(torch.randperm(rows, generator=self.generator), size))
            for _ in range(self.config.num_ppo_epochs)
        ]

    def begin_update(self) -> float:
        """Remember the weights as measured and set the learning rate, which is returned."""
        self.previous = self._clone()
        done = self.iteration / self.config.iterations if self.config.anneal else 0.0
        rate = self.config.learning_rate * (1 - done)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def fall_back(self) -> None:
        """Return to the weights of the iteration before, whose KL was below the stop."""
        self.adapter.copy_from(self.previous)

    def note_best(self, figure: float, kl_nats: float, anchor_kl_nats: float) -> None:
        """Keep the weights with which this iteration sampled, where no healthy iteration had a higher figure."""
        if figure > self.best.figure:
            self.best = Best(self.iteration, figure, kl_nats, anchor_kl_nats)
            self.best_weights = self.previous

    def return_to_best(self) -> None:
        self.adapter.copy_from(self.best_weights)
        self.kl_nats, self.anchor_kl_nats = self.best.kl_nats, self.best.anchor_kl_nats

    def finish_iteration(
        self, kl_nats: float, anchor_kl_nats: float, episodes: int, metrics: dict[str, float]
    ) -> None:
        """Count the iteration and append its metrics."""
        self.iteration += 1
        self.kl_nats, self.anchor_kl_nats = kl_nats, anchor_kl_nats
        before = self.metrics[-1]["episode"] if self.metrics else 0
        self.metrics.append(metrics | {"episode": before + episodes})

    def pack(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors for safetensors and values for JSON."""
        tensors = {"random/torch": torch.get_rng_state(), "random/own": self.generator.get_state()}
        moments = self.optimizer.state_dict()["state"]
        for index, (weight, former) in enumerate(zip(self.adapter.parameters(), self.previous, strict=True)):
            tensors[f"adapter/{index}"] = weight.detach().clone()
            tensors[f"previous/{index}"] = former
            tensors[f"best/{index}"] = self.best_weights[index].clone()
            tensors |= {f"adam/{index}/{name}": tensor for name, tensor in moments.get(index, {}).items()}
        tensors |= {f"value/{name}": tensor for name, tensor in self.value.state().items()}
        return tensors, {
            "iteration": self.iteration,
            "brake": asdict(self.brake),
            "multipliers": asdict(self.multipliers),
            "best": asdict(self.best) | {"figure": self.best.figure if math.isfinite(self.best.figure) else None},
            "kl_nats": self.kl_nats,
            "anchor_kl_nats": self.anchor_kl_nats,
            "start_kl": self.start_kl,
            "scale": [self.scale.mean, self.scale.spread],
            "watch_scale": [self.watch_scale.mean, self.watch_scale.spread],
            "queue": self.queue,
            "metrics": self.metrics,
            "random": self.random.getstate(),
        }

    def restore(self, saved: tuple[dict[str, Tensor], dict[str, Any]] | None) -> bool:
        """Restore a checkpoint; False where there is none."""
        if saved is None:
            return False
        tensors, values = saved
        count = len(self.previous)
        self.adapter.copy_from(tensors[f"adapter/{index}"] for index in range(count))
        self.previous = [tensors[f"previous/{index}"] for index in range(count)]
        self.best_weights = [tensors[f"best/{index}"] for index in range(count)]
        self._restore_optimizer(tensors)
        self.value.load_state({name: tensors[f"value/{name}"] for name in self.value.state()})
        torch.set_rng_state(tensors["random/torch"])
        self.generator.set_state(tensors["random/own"])
        version, internal, gauss = values["random"]
        self.random.setstate((version, tuple(internal), gauss))
        self.scale = ScoreScale(*values["scale"])
        self.watch_scale = ScoreScale(*values["watch_scale"])
        self.brake = KlBrake(**values["brake"])
        self.multipliers = Multipliers(**values["multipliers"])
        best = values["best"]
        self.best = Best(**best | {"figure": -math.inf if best["figure"] is None else best["figure"]})
        for name in ("iteration", "kl_nats", "anchor_kl_nats", "start_kl", "queue", "metrics"):
            setattr(self, name, values[name])
        return True

    def _restore_optimizer(self, tensors: dict[str, Tensor]) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            if key.startswith("adam/"):
                _, index, name = key.split("/")
                state.setdefault(int(index), {})[name] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})

    def _clone(self) -> list[Tensor]:
        return [tensor.detach().clone() for tensor in self.adapter.parameters()]
