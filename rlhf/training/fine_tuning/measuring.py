"""Log-probabilities of the target tokens of examples, and whether greedy decoding would choose them.

B rows, T positions, M tokens that count, D hidden size, V vocabulary. Token t is predicted at position t - 1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from rlhf.training import processes
from rlhf.training.fine_tuning.examples import Example
from rlhf.training.fine_tuning.scopes import Learner
from rlhf.training.model.head import Head
from rlhf.training.reward.features import stack

BLOCK = 512
"""Positions whose logits exist at a time."""
CACHED_BYTES = 1 << 30
"""States below the trained part are cached up to this size; above it they are computed again at every step."""
BATCH_TOKENS = 4096


@dataclass(frozen=True)
class TokenScores:
    """Of the M tokens that count, row after row."""

    log_probs: Tensor  # [M], with gradient where the model learns
    chosen: Tensor  # [M] bool: greedy choice
    rows: Tensor  # [M] of B
    weights: Tensor  # [M] in the loss
    answer: Tensor  # [M] bool: of the answer

    def per_row(self, values: Tensor, rows: int) -> Tensor:
        """Sums over each row: [M] -> [B]."""
        return torch.zeros(rows, dtype=values.dtype, device=values.device).index_add(0, self.rows, values)


class PaddedBatch:
    """Examples as right-padded tensors on a device."""

    def __init__(self, examples: Sequence[Example], padding_id: int, device: torch.device) -> None:
        self.width = max(example.length for example in examples)

        def filled(values: Sequence[Sequence[float]], filler: float, dtype: torch.dtype) -> Tensor:
            rows = [[*row, *([filler] * (self.width - len(row)))] for row in values]
            return torch.tensor(rows, dtype=dtype, device=device)

        self.ids = filled([example.ids for example in examples], padding_id, torch.long)
        self.weights = filled([example.weights for example in examples], 0.0, torch.float32)
        self.answer = filled([example.answer for example in examples], False, torch.bool)
        self.lengths = torch.tensor([example.length for example in examples], device=device)


def score_batch(hidden: Tensor, head: Head, batch: PaddedBatch) -> TokenScores:
    """hidden [B, T, D]"""
    rows, columns = ((batch.weights > 0) | batch.answer).nonzero(as_tuple=True)
    log_probs, chosen = token_scores(hidden[rows, columns - 1], head, batch.ids[rows, columns])
    return TokenScores(log_probs, chosen, rows, batch.weights[rows, columns], batch.answer[rows, columns])


def token_scores(hidden: Tensor, head: Head | Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """hidden [M, D], a head or its bare matrix [V, D], targets [M] -> log-probs [M] fp32, and whether
    each is the likeliest token [M].

    Of more positions than one block the logits are computed again for the gradient rather than stored.
    """
    layer = Head.of(head)
    if len(hidden) <= BLOCK:
        return _scores(hidden, layer, targets)
    parts = [
        checkpoint(_scores, hidden[start : start + BLOCK], layer, targets[start : start + BLOCK], use_reentrant=False)
        for start in range(0, len(hidden), BLOCK)
    ]
    log_probs, chosen = zip(*parts, strict=True)
    return torch.cat(log_probs), torch.cat(chosen)


def _scores(hidden: Tensor, head: Head, targets: Tensor) -> tuple[Tensor, Tensor]:
    logits = head.logits(hidden)
    wide = torch.float64 if head.dtype == torch.float64 else torch.float32
    log_probs = -functional.cross_entropy(logits.to(wide), targets, reduction="none")
    return log_probs, logits.detach().argmax(-1) == targets


class ExampleScorer:
    """Scores fixed examples under a learner; caches the states below the trained part, which never change."""

    def __init__(self, learner: Learner, examples: Sequence[Example], padding_id: int) -> None:
        self.learner, self.examples, self.padding_id = learner, examples, padding_id
        self._cached: list[Tensor] | None = None

    def prepare(self, poll: Callable[[], None]) -> None:
        """Fill the cache; `poll` may raise to stop. Several processes have none, since each meets other examples in
        every epoch."""
        if processes.count() > 1:
            return
        width = self.learner.transformer.config.hidden_size
        if sum(example.length for example in self.examples) * width * 4 > CACHED_BYTES:
            return
        cached: list[Tensor] = [torch.empty(0)] * len(self.examples)
        for chosen in by_length(self.examples, BATCH_TOKENS):
            poll()
            below = self.learner.below(self._padded(chosen).ids)
            for position, index in enumerate(chosen):
                cached[index] = below[position, : self.examples[index].length].clone()
        self._cached = cached

    def score(self, chosen: Sequence[int]) -> TokenScores:
        """The scores of these examples under the learner as it is now."""
        batch = self._padded(chosen)
        below = stack([self._cached[index] for index in chosen]) if self._cached else self.learner.below(batch.ids)
        return score_batch(self.learner.hidden(below, batch.lengths), self.learner.head(), batch)

    def _padded(self, chosen: Sequence[int]) -> PaddedBatch:
        examples = [self.examples[index] for index in chosen]
        return PaddedBatch(examples, self.padding_id, self.learner.transformer.device)


def by_length(examples: Sequence[Example], tokens: int) -> list[list[int]]:
    """Indices in batches of like length, each of at most `tokens` padded tokens (or one example)."""
    batches: list[list[int]] = []
    width = 0
    for index in sorted(range(len(examples)), key=lambda i: examples[i].length):
        width = max(width, examples[index].length)
        if not batches or width * (len(batches[-1]) + 1) > tokens:
            batches.append([])
        batches[-1].append(index)
    return batches
