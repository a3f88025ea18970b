"""Log-probs of every completion token of finished rollouts, with or without gradient.

N completions, C the longest of them, T the longest row, D hidden size, M all completion tokens of the rows at hand.
Token j of a completion is predicted by the hidden state one position before it, at prompt length + j - 1.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from rlhf.training import processes
from rlhf.training.model.adapter import Adapter
from rlhf.training.model.decoder import Decoder
from rlhf.training.model.logprobs import TokenLogProbs, token_log_probs
from rlhf.training.model.rollout import Rollout


class Scored(NamedTuple):
    """Log-probs and entropies of the completion tokens [N, C], 0 where none is, and their hidden states [M, D]."""

    log_probs: Tensor
    entropy: Tensor
    hidden: Tensor
    first: TokenLogProbs | None  # those of the first batch, still with their gradient, where it was asked for


def completion_mask(rollout: Rollout) -> Tensor:
    """[N, C] bool: row i has as many true columns as its completion has tokens."""
    lengths = rollout.completion_lengths
    return torch.arange(int(lengths.max()), device=lengths.device) < lengths[:, None]


def predict_completions(
    transformer: Decoder,
    rollout: Rollout,
    adapter: Adapter | None,
    *,
    temperature: float,
    entropy: bool = False,
) -> tuple[TokenLogProbs, Tensor]:
    """Log-probs [M] of all completion tokens, row after row, and the hidden states [M, D] that predict them."""
    hidden = transformer.run_top(rollout.states, adapter, lengths=rollout.lengths)
    rows, columns = rollout.completion_mask().nonzero(as_tuple=True)
    before = hidden[rows, columns - 1]
    targets = rollout.ids[rows, columns]
    return token_log_probs(before, transformer.head, targets, temperature=temperature, entropy=entropy), before


def score_completions(
    transformer: Decoder,
    rollout: Rollout,
    adapter: Adapter | None,
    batches: list[Tensor],
    *,
    temperature: float,
    entropy: bool = False,
    keep_first: bool = False,
) -> Scored:
    """The whole rollout, `batches` of row indices at a time.

    Given the batches of the updates that follow, each batch is computed just as its update will compute it, so that
    the first ratio is exactly 1: bf16 products of other shapes differ in the last bit. With `keep_first` the first
    batch keeps its graph, because the first update would compute the very same numbers again.

    Of several processes each computes a part of every batch (`own_rows`), whose graph is the one kept.
    """
    first = None
    mask = completion_mask(rollout)
    log_probs = torch.zeros(mask.shape, device=mask.device)
    entropies = torch.zeros_like(log_probs)
    hidden = torch.zeros(*mask.shape, rollout.states.shape[2], device=mask.device)
    for index, batch in enumerate(batches):
        rows, counts = own_rows(batch.to(mask.device))
        part = rollout.select(rows)
        with torch.set_grad_enabled(keep_first and index == 0):
            tokens, states = predict_completions(transformer, part, adapter, temperature=temperature, entropy=entropy)
        if keep_first and index == 0:
            first = tokens
        if not counts:
            continue
        where = (rows.repeat_interleave(part.completion_lengths), mask[rows].nonzero(as_tuple=True)[1])
        log_probs[where] = tokens.log_probs.detach().float()
        entropies[where] = tokens.entropy.float()
        hidden[where] = states.detach().float()
    log_probs, entropies, hidden = (processes.total(one) for one in (log_probs, entropies, hidden))
    return Scored(log_probs, entropies, hidden[mask], first)


def own_rows(rows: Tensor) -> tuple[Tensor, bool]:
    """Of a batch this process's part, and whether it counts: where there are fewer rows than processes, some compute
    one that is another's."""
    own = rows[processes.block(len(rows))]
    return (own, True) if len(own) else (rows[:1], False)
