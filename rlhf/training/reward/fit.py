"""The training loop of the reward model: fits the adapter and the two heads to rankings and rule labels."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from rlhf.training import processes
from rlhf.training.artefacts import checkpoints
from rlhf.training.hyperparameters import require
from rlhf.training.reward.examples import Examples, Group, NothingToLearn, ThumbLabel, pair_margins, pair_table
from rlhf.training.reward.features import lengths, stack
from rlhf.training.reward.heads import ranking_loss, thumb_loss, violation_loss
from rlhf.training.reward.model import RewardModel, States

STATES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
Report = Callable[[int, int, dict[str, Any]], None]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RewardModelConfig:
    """Defaults: measured on SmolLM2-135M with 600 comparisons, on two cores."""

    rank: int = 16
    alpha: float = 32.0
    adapted_layers: int = 10
    """Layers from the top that the adapter changes; the rest is the trunk, which runs once."""
    learning_rate: float = 1e-3
    heads_learning_rate: float = 3e-3
    epochs: int = 2
    rankings_per_step: int = 4
    violation_weight: float = 3.0
    """Weight of the rule head's loss beside the preference loss."""
    thumb_weight: float = 0.1
    """Weight of the loss on thumbs beside the preference loss. Small: a thumb also tells how hard the question was,
    which a ranking of replies to one prompt does not."""
    held_out_rule: str = ""
    """Key of a rule whose labels are kept from training, to measure what the rule's text alone is worth."""
    ensemble: int = 1
    """Models that differ by their seed; 2: the mean score counts, and how far they disagree is known. Training and
    scoring then take twice as long but for the trunk, which they share."""
    disagreement_weight: float = 0.0
    """Of an ensemble: so many times their standard deviation is taken off a score that a policy is trained on."""
    rule_rank: int = 16
    """Rank of the product between a reply's features and a rule's embedding."""
    weight_decay: float = 0.0
    max_gradient_norm: float = 1.0
    max_prompt_tokens: int = 2048
    """As much as the site's whole context: replies are read with the prompt that they were served for."""
    max_completion_tokens: int = 512
    min_labels: int = 5
    """Labels of each kind that a rule needs before its head counts."""
    made_up_each: int = 2
    """Made-up replies beside each ranking (empty, one word, a row of emoji ...), as worse than its worst one."""
    made_up_weight: float = 0.05
    """What they weigh together, relative to the ranking; 0 leaves them out. Measured on the demo's judgements: 0.2
    taught the model that longer is better (correlation of score and length 0.31, 0.03 without; accuracy 0.664), 0.05
    cost no accuracy (0.682, 0.673 without). At 0.2 a policy learnt half as much."""
    states: str = "float32"
    """How trunk states stand on the disk; "bfloat16" takes half the room and moves a score by 0.8 % of the spread."""
    log_every: int = 4
    checkpoint_every: int = 40

    def validate(self) -> None:
        """Raise BadHyperparameter."""
        for name in ("rank", "adapted_layers", "epochs", "rankings_per_step", "rule_rank", "log_every"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "must be at least 1")
        for name in ("max_prompt_tokens", "max_completion_tokens", "min_labels", "checkpoint_every"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "must be at least 1")
        for name in ("learning_rate", "heads_learning_rate", "alpha", "max_gradient_norm"):
            require(getattr(self, name) > 0, name, getattr(self, name), "must be above 0")
        require(self.states in STATES, "states", self.states, f"must be one of {', '.join(STATES)}")
        require(self.ensemble in (1, 2), "ensemble", self.ensemble, "must be 1 or 2")
        weights = ("violation_weight", "thumb_weight", "disagreement_weight", "made_up_each", "made_up_weight")
        for name in (*weights, "weight_decay"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "must not be negative")


class Trainer:
    """Adam with a linearly annealed rate over groups in a seeded order; resumes bit for bit."""

    def __init__(
        self, model: RewardModel, data: Examples, states: States, config: RewardModelConfig, seed: int
    ) -> None:
        self.model, self.data, self.states, self.config, self.seed = model, data, states, config, seed
        self.keys = sorted({key for found in data.labels.values() for key, _, _ in found})
        self.rules = model.rule_table(self.keys)
        self.thumb_offset = thumb_offset(data)
        labelled = {*data.labels, *(data.thumbs if config.thumb_weight else ())}
        self.groups = [g for g in data.groups if g.pairs or any(item in labelled for item in g.items)]
        if not self.groups:
            raise NothingToLearn("no preference pair and no rule label to learn from")
        self.per_epoch = math.ceil(len(self.groups) / config.rankings_per_step)
        self.steps = self.per_epoch * config.epochs
        self.step = 0
        self.parameters = [*model.adapter.parameters(), *model.heads.parameters()]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": model.adapter.parameters(), "lr": config.learning_rate},
                {"params": model.heads.parameters(), "lr": config.heads_learning_rate},
            ],
            weight_decay=config.weight_decay,
        )
        self.rates = [group["lr"] for group in self.optimizer.param_groups]

    def train(
        self,
        report: Report,
        should_stop: Callable[[], bool],
        checkpoint: Path | None = None,
        measure: Callable[[], dict[str, float]] = dict,
    ) -> bool:
        """Train to the end. False: asked to stop before it, with the state in `checkpoint`.

        `measure` is called at the end of each epoch and changes nothing; its figures are reported with the others.
        """
        seen: list[dict[str, float]] = []
        for chosen in self._batches():
            if should_stop():
                self.save(checkpoint)
                return False
            seen.append(self.update(chosen))
            epoch_ends = self.step % self.per_epoch == 0
            if self.step % self.config.log_every == 0 or epoch_ends:
                measured = measure() if epoch_ends else {}
                report(self.step, self.steps, _mean(seen) | {"epoch": self.step / self.per_epoch} | measured)
                seen = []
            if self.step % self.config.checkpoint_every == 0:
                self.save(checkpoint)
        return True

    def update(self, groups: Sequence[Group]) -> dict[str, float]:
        """One optimiser step; returns TRL's figures."""
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * (1 - self.step / self.steps)
        own = groups[processes.block(len(groups))]
        counted = len(_items(own))  # none where there are fewer groups than processes; the pass is made all the same
        scores, logits = self._predict(_items(own or groups[:1]))
        self.optimizer.zero_grad()
        losses = self._losses(own or groups[:1], groups, scores, logits)
        weights = 1.0, self.config.violation_weight, self.config.thumb_weight
        loss = sum((weight * one for weight, one in zip(weights, losses, strict=True)), scores.new_zeros(()))
        (loss if counted else 0.0 * loss).backward()  # type: ignore[no-untyped-call]
        processes.sum_gradients(self.parameters)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.config.max_gradient_norm, error_if_nonfinite=True)
        self.optimizer.step()
        self.step += 1
        preference, violation, thumbs = processes.totals([float(one.detach()) if counted else 0.0 for one in losses])
        scores, logits = (processes.gather(one.detach()[:counted]) for one in (scores, logits))
        where, labels, _ = (one.to(self.model.device) for one in self._label_table(_items(groups)))
        by_people = pair_table(groups)[0][: sum(len(group.pairs) for group in groups)].to(self.model.device)
        return (
            _figures(scores, by_people)
            | ({"thumb/loss": thumbs} if self._thumbs(_items(groups)) else {})
            | {
                "loss": preference,
                "flag/loss": violation,
                "flag/accuracy": _agreement(logits, where, labels),
                "grad_norm": float(norm),
                "learning_rate": self.optimizer.param_groups[0]["lr"],
            }
        )

    def _predict(self, items: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Scores [N] of these replies and logits [N, R] of the rules."""
        rows = [self.data.rows[item] for item in items]
        features = self.model.features(stack([self.states[item] for item in items]), *lengths(rows))
        heads = self.model.heads
        return heads.scores(features.pooled), heads.violation_logits(features, self.rules)

    def _losses(
        self, groups: Sequence[Group], batch: Sequence[Group], scores: Tensor, logits: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What these groups add to the batch's losses: of preferences, of rules, of thumbs."""
        items, every = _items(groups), _items(batch)
        pairs, weights = (one.to(self.model.device) for one in pair_table(groups))
        ranked = max(1, sum(bool(group.pairs) for group in batch))
        margins = pair_margins(groups, len(pairs)).to(self.model.device)
        where, labels, trust = (one.to(self.model.device) for one in self._label_table(items))
        of_rules = len(where) / max(1, sum(len(self.data.labels.get(item, [])) for item in every))
        of_thumbs = len(self._thumbs(items)) / max(1, len(self._thumbs(every)))
        return (
            ranking_loss(scores, pairs, weights, margins) / ranked,
            violation_loss(logits, where, labels, trust) * of_rules,
            self._thumb_loss(items, scores) * of_thumbs,
        )

    def _batches(self) -> Iterator[list[Group]]:
        """The remaining batches from `self.step` on, in the order of the seed."""
        while self.step < self.steps:
            epoch, position = divmod(self.step, self.per_epoch)
            order = torch.randperm(
                len(self.groups), generator=torch.Generator().manual_seed(self.seed * 1009 + epoch)
            ).tolist()
            size = self.config.rankings_per_step
            yield [self.groups[index] for index in order[position * size : (position + 1) * size]]

    def _label_table(self, items: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """(reply, rule) positions [M, 2], labels [M] and their weights [M]."""
        found = [(position, label) for position, item in enumerate(items) for label in self.data.labels.get(item, [])]
        where = torch.tensor([(at, self.keys.index(label.rule)) for at, label in found], dtype=torch.long)
        labels = torch.tensor([(float(label.violates), label.weight) for _, label in found]).reshape(-1, 2)
        return where.reshape(-1, 2), labels[:, 0], labels[:, 1]

    def _thumbs(self, items: Sequence[int]) -> list[tuple[int, ThumbLabel]]:
        """Those that count on these items, with the items' positions."""
        if not self.config.thumb_weight:
            return []
        return [(at, thumb) for at, item in enumerate(items) for thumb in self.data.thumbs.get(item, [])]

    def _thumb_loss(self, items: Sequence[int], scores: Tensor) -> Tensor:
        """Of the thumbs on these items."""
        found = self._thumbs(items)
        if not found:
            return scores.sum() * 0.0
        labels = torch.tensor([(float(thumb.is_up), thumb.weight) for _, thumb in found], device=scores.device)
        return thumb_loss(scores[[at for at, _ in found]], labels[:, 0], labels[:, 1], self.thumb_offset)

    def save(self, checkpoint: Path | None) -> None:
        """Write parameters and Adam's state, for `resume`; of several processes the main one does."""
        if checkpoint is None or not processes.is_main():
            return
        tensors = {f"parameter.{i}": p.detach().cpu().contiguous() for i, p in enumerate(self.parameters)}
        for index, state in self.optimizer.state_dict()["state"].items():
            for name, value in state.items():
                tensors[f"adam.{index}.{name}"] = torch.as_tensor(value).cpu().contiguous()
        tensors["step"] = torch.tensor(self.step)
        checkpoints.publish(lambda draft: save_file(tensors, draft / "state.safetensors"), checkpoint)

    def resume(self, checkpoint: Path) -> bool:
        """Restore a saved state; False where there is no undamaged one."""
        try:
            checkpoints.verify(checkpoint)
        except checkpoints.Damaged:
            return False
        saved = load_file(checkpoint / "state.safetensors")
        with torch.no_grad():
            for index, parameter in enumerate(self.parameters):
                parameter.copy_(saved[f"parameter.{index}"])
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in saved.items():
            if key.startswith("adam."):
                _, index_text, name = key.split(".", 2)
                state.setdefault(int(index_text), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        self.step = int(saved["step"])
        log.info("the run goes on from %s, step %d", checkpoint, self.step)
        return True


def _items(groups: Sequence[Group]) -> list[int]:
    return [item for group in groups for item in group.items]


def thumb_offset(data: Examples) -> float:
    """Log odds of a thumb up, by weight, with half a thumb of each kind added."""
    found = [thumb for thumbs in data.thumbs.values() for thumb in thumbs]
    up, down = (sum(t.weight for t in found if t.is_up is kind) + 0.5 for kind in (True, False))
    return math.log(up / down)


def _figures(scores: Tensor, pairs: Tensor) -> dict[str, float]:
    """RewardTrainer's figures of a batch: accuracy, margin, and the spread of the rewards."""
    spread = {
        "mean_reward": float(scores.mean()),
        "min_reward": float(scores.min()),
        "max_reward": float(scores.max()),
    }
    if not len(pairs):
        return spread
    margins = scores[pairs[:, 0]] - scores[pairs[:, 1]]
    right = (margins > 0).float() + 0.5 * (margins == 0).float()
    return spread | {"accuracy": float(right.mean()), "margin": float(margins.mean())}


def _agreement(logits: Tensor, where: Tensor, labels: Tensor) -> float:
    if not len(where):
        return math.nan
    return float(((logits[where[:, 0], where[:, 1]] > 0) == (labels > 0.5)).float().mean())


def _mean(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    keys = {key for row in rows for key in row}
    values = {key: [row[key] for row in rows if not math.isnan(row.get(key, math.nan))] for key in sorted(keys)}
    return {key: sum(found) / len(found) for key, found in values.items() if found}
