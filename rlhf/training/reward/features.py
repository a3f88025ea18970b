"""What the reward model reads of a reply: its last token, the mean over it, and the tokens that speak strongest."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf.training.tokens import ChatTokenizer, Message


@dataclass(frozen=True)
class Row:
    """A prompt and a completion as token ids."""

    ids: tuple[int, ...]
    prompt_length: int

    @property
    def length(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Reading:
    """Standardised features of N replies: pooled [N, F], of each token [N, T, W], and which tokens count [N, T]."""

    pooled: Tensor
    tokens: Tensor
    where: Tensor


def encode(
    tokenizer: ChatTokenizer,
    messages: Sequence[Message],
    text: str,
    *,
    finished: bool,
    max_completion_tokens: int,
) -> Row:
    """The row of one reply; the end token stands at its end if and only if the model put it there."""
    prompt = tokenizer.prompt_ids(messages)
    completion = tokenizer.completion_ids(text, finished=finished, limit=max_completion_tokens)
    return Row((*prompt, *completion), len(prompt))


def pad(rows: Sequence[Row], padding_id: int) -> Tensor:
    """Right-padded ids [B, T]."""
    width = max(row.length for row in rows)
    return torch.tensor([[*row.ids, *([padding_id] * (width - row.length))] for row in rows])


def lengths(rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
    """(prompt lengths [B], lengths [B])."""
    return torch.tensor([row.prompt_length for row in rows]), torch.tensor([row.length for row in rows])


def pool(hidden: Tensor, prompt_lengths: Tensor, ends: Tensor) -> Tensor:
    """hidden [B, T, D], right-padded -> [B, 2D]: last token ; mean over the reply.

    A head on the last token alone was measured to learn little but "it ended". The last token is never a pad.
    A reply without any token is read at the prompt's last one.
    """
    last = ends - 1
    where = inside(hidden.shape[1], prompt_lengths, ends)
    # where, not a product: what stands at a pad may be anything, even NaN
    kept = torch.where(where[..., None], hidden, torch.zeros((), dtype=hidden.dtype, device=hidden.device))
    mean = kept.sum(1) / where.sum(1, keepdim=True)
    return torch.cat([hidden[torch.arange(len(last), device=hidden.device), last], mean], dim=-1)


def inside(width: int, prompt_lengths: Tensor, ends: Tensor) -> Tensor:
    """[B, width] bool: the positions of each reply; of one without any token, the prompt's last."""
    first = torch.minimum(prompt_lengths, ends - 1)
    positions = torch.arange(width, device=ends.device)
    return (positions >= first[:, None]) & (positions < ends[:, None])


def strongest(values: Tensor, where: Tensor, softness: float) -> Tensor:
    """values [B, T, R], where [B, T] -> [B, R]: a smooth maximum over the positions that count.

    A breach stands in a few words; a mean over the reply thins it out. 0 wherever all values are 0, between the mean
    (softness to infinity) and the maximum (softness to 0).
    """
    kept = torch.where(where[..., None], values / softness, -torch.inf)
    return softness * (kept.logsumexp(1) - where.sum(1, keepdim=True).log())


def by_length(rows: Sequence[Row], batch_tokens: int) -> Iterator[list[int]]:
    """Indices of `rows` in batches of like length, each of at most `batch_tokens` padded tokens (or one row)."""
    batch: list[int] = []
    width = 0
    for index in sorted(range(len(rows)), key=lambda i: rows[i].length):
        width = max(width, rows[index].length)
        if batch and width * (len(batch) + 1) > batch_tokens:
            yield batch
            batch, width = [], rows[index].length
        batch.append(index)
    if batch:
        yield batch


def stack(states: Sequence[Tensor]) -> Tensor:
    """Trunk states [T_i, D] of several rows, right-padded with zeros to [B, T, D]."""
    return torch.nn.utils.rnn.pad_sequence(list(states), batch_first=True)
