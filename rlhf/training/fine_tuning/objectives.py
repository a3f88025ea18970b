"""The losses of a fine-tune: cross-entropy of the wanted completions, or DPO's loss on preference pairs.

An item is the unit of a batch: one example, or a pair of two. Every objective also counts how many wanted tokens are
the greedy choice, so that curves of all methods can be compared.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Protocol, Self

import torch
from torch import Tensor
from torch.nn import functional

from rlhf.training import processes
from rlhf.training.fine_tuning.examples import Example
from rlhf.training.fine_tuning.measuring import (
    BATCH_TOKENS,
    ExampleScorer,
    PaddedBatch,
    TokenScores,
    by_length,
    score_batch,
)
from rlhf.training.fine_tuning.scopes import Learner, base_hidden
from rlhf.training.model.adapter import Adapter


@dataclass(frozen=True)
class Figures:
    """Sums over items, so that they can be added up; the properties give shares."""

    loss: float = 0.0  # summed over `weight`
    weight: float = 0.0
    tokens: int = 0  # of the wanted answers
    tokens_chosen: int = 0
    answers: int = 0
    answers_chosen: int = 0  # every token of them
    preferred: float = 0.0  # pairs whose chosen side gained more than the rejected
    pairs: int = 0
    margin: float = 0.0  # by how much more, times beta, summed over the pairs

    def __add__(self, other: "Figures") -> "Figures":
        return Figures(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    def over_processes(self) -> "Figures":
        """The sum of those of all processes."""
        if processes.count() == 1:
            return self
        found = processes.totals([float(getattr(self, field.name)) for field in fields(self)])
        pairs = zip(fields(self), found, strict=True)
        return Figures(**{field.name: type(getattr(self, field.name))(value) for field, value in pairs})

    @property
    def mean_loss(self) -> float:
        return self.loss / self.weight if self.weight else float("nan")

    @property
    def token_accuracy(self) -> float:
        return self.tokens_chosen / self.tokens if self.tokens else float("nan")

    @property
    def sequence_accuracy(self) -> float:
        return self.answers_chosen / self.answers if self.answers else float("nan")

    def named(self, side: str) -> dict[str, float]:
        """Under the names of the curves; `side` is train or eval."""
        values = {f"{side}/loss": self.mean_loss, f"{side}/token_accuracy": self.token_accuracy}
        values[f"{side}/sequence_accuracy"] = self.sequence_accuracy
        if self.pairs:
            values[f"{side}/reward_accuracy"] = self.preferred / self.pairs
            values[f"{side}/reward_margin"] = self.margin / self.pairs
        return values


class Objective(Protocol):
    """Items to learn from, and their loss."""

    examples: Sequence[Example]

    def __len__(self) -> int:
        """Items."""
        ...

    def members(self, items: Sequence[int]) -> list[int]:
        """The examples of these items."""
        ...

    def weight(self, items: Sequence[int]) -> float:
        """What the summed loss of these items is divided by."""
        ...

    def loss(self, scorer: ExampleScorer, items: Sequence[int]) -> tuple[Tensor, Figures]:
        """Summed over the items, with its gradient."""
        ...


class Supervised:
    """-log p of each token that counts, by its weight."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def members(self, items: Sequence[int]) -> list[int]:
        return list(items)

    def weight(self, items: Sequence[int]) -> float:
        return sum(sum(self.examples[item].weights) for item in items)

    def loss(self, scorer: ExampleScorer, items: Sequence[int]) -> tuple[Tensor, Figures]:
        found = scorer.score(items)
        loss = -(found.log_probs * found.weights).sum()
        return loss, _greedy_matches(found, len(items)) + Figures(
            loss=float(loss.detach()), weight=self.weight(items)
        )


class Dpo:
    """-log sigmoid(beta * (gain of the chosen - gain of the rejected)), gains in log p over the base's.

    Rafailov et al., arXiv:2305.18290, equation 7. Examples stand in pairs: chosen, rejected. `weights` [P] of the
    pairs in the loss, by default 1 each.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        base_log_probs: Tensor,
        *,
        beta: float,
        weights: Sequence[float] | None = None,
    ) -> None:
        self.examples, self.base, self.beta = examples, base_log_probs, beta
        self.weights = torch.tensor(weights or [1.0] * (len(examples) // 2), device=base_log_probs.device)

    @classmethod
    def over(
        cls,
        learner: Learner,
        examples: Sequence[Example],
        padding_id: int,
        *,
        beta: float,
        poll: Callable[[], None],
        weights: Sequence[float] | None = None,
        reference: Adapter | None = None,
    ) -> Self:
        """With the log-probs of each example under the learner's base, or under an adapter over it."""
        logs = torch.zeros(len(examples), device=learner.transformer.device)
        for chosen in by_length(examples, BATCH_TOKENS):
            poll()
            batch = PaddedBatch([examples[index] for index in chosen], padding_id, learner.transformer.device)
            hidden = base_hidden(learner.transformer, batch.ids, batch.lengths, reference)
            with torch.no_grad():
                logs[chosen] = _answer_log_probs(
                    score_batch(hidden, learner.transformer.head, batch), len(chosen)
                ).float()
        return cls(examples, logs, beta=beta, weights=weights)

    def __len__(self) -> int:
        return len(self.examples) // 2

    def members(self, items: Sequence[int]) -> list[int]:
        return [2 * item + side for item in items for side in (0, 1)]

    def weight(self, items: Sequence[int]) -> float:
        return float(self.weights[list(items)].sum())

    def loss(self, scorer: ExampleScorer, items: Sequence[int]) -> tuple[Tensor, Figures]:
        members = self.members(items)
        found = scorer.score(members)
        gains = _answer_log_probs(found, len(members)) - self.base[members]
        margins = gains[0::2] - gains[1::2]
        loss = (self.weights[list(items)] * _dpo_loss(margins, self.beta)).sum()
        figures = Figures(
            loss=float(loss.detach()),
            weight=self.weight(items),
            preferred=float(((margins > 0).float() + 0.5 * (margins == 0).float()).sum()),
            pairs=len(items),
            margin=self.beta * float(margins.detach().sum()),
        )
        return loss, figures + _greedy_matches(found, len(members), every=2)


def _dpo_loss(margins: Tensor, beta: float) -> Tensor:
    """margins [P] in nats, of the chosen's gain over the rejected's -> losses [P]"""
    return -functional.logsigmoid(beta * margins)


def _answer_log_probs(found: TokenScores, rows: int) -> Tensor:
    """log p of each row's answer [B]."""
    return found.per_row(found.log_probs * found.answer, rows)


def _greedy_matches(found: TokenScores, rows: int, every: int = 1) -> Figures:
    """How many wanted tokens and whole answers are the greedy choice, over each `every`th row."""
    tokens = found.per_row(found.answer.float(), rows)[::every]
    right = found.per_row((found.answer & found.chosen).float(), rows)[::every]
    some = tokens > 0
    return Figures(
        tokens=int(tokens.sum()),
        tokens_chosen=int(right.sum()),
        answers=int(some.sum()),
        answers_chosen=int((some & (tokens == right)).sum()),
    )


@torch.no_grad()
def measure(objective: Objective, scorer: ExampleScorer) -> Figures:
    """Figures over all items, without gradient."""
    total = Figures()
    parts = portions(objective, processes.share(range(len(objective))), BATCH_TOKENS)
    for items, counts in processes.in_step(parts, [0]):
        found = objective.loss(scorer, items)[1]
        total += found if counts else Figures()
    return total.over_processes()


def portions(objective: Objective, items: Sequence[int], tokens: int) -> list[list[int]]:
    """Items in their order, cut where a portion would have more than `tokens` padded tokens (or is one item)."""
    parts: list[list[int]] = []
    width = rows = 0
    for item in items:
        members = objective.members([item])
        longest = max(objective.examples[member].length for member in members)
        width, rows = max(width, longest), rows + len(members)
        if not parts or width * rows > tokens:
            parts.append([])
            width, rows = longest, len(members)
        parts[-1].append(item)
    return parts
