"""Features of a reply for the reward model's heads: last token, mean over the reply, and strongest tokens."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf.training.tokens import ChatTokenizer, Message


@dataclass(frozen=True)
class EncodedReply:
    """A prompt and a completion as token ids."""

    ids: Sequence[int]
    prompt_length: int

    def __hash__(self) -> int:
        return hash((tuple(self.ids), self.prompt_length))

    @property
    def length(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class ReplyFeatures:
    """Standardised: pooled [N, F], of each token [N, T, W], and which tokens belong to the reply [N, T]."""

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
) -> EncodedReply:
    """Prompt and reply as ids; the end token is last if and only if the model wrote it."""
    prompt = tokenizer.prompt_ids(messages)
    completion = tokenizer.completion_ids(text, finished=finished, limit=max_completion_tokens)
    return EncodedReply(array("i", [*prompt, *completion]), len(prompt))  # 4 bytes a token, where a tuple takes 40


def pad(rows: Sequence[EncodedReply], padding_id: int) -> Tensor:
    """Right-padded ids [B, T]."""
    width = max(row.length for row in rows)
    return torch.tensor([[*row.ids, *([padding_id] * (width - row.length))] for row in rows])


def lengths(rows: Sequence[EncodedReply]) -> tuple[Tensor, Tensor]:
    """(prompt lengths [B], lengths [B])."""
    return torch.tensor([row.prompt_length for row in rows]), torch.tensor([row.length for row in rows])


def pool(hidden: Tensor, prompt_lengths: Tensor, ends: Tensor) -> Tensor:
    """hidden [B, T, D], right-padded -> [B, 2D]: last token ; mean over the reply.

    A head on the last token alone was measured to learn little but "it ended". The last token is never a pad.
    A reply without any token is read at the prompt's last one.
    """
    last = ends - 1
    where = inside(hidden.shape[1], prompt_lengths, ends)
    # where, not a product: the state at a pad may be anything, even NaN
    inside_reply = torch.where(where[..., None], hidden, torch.zeros((), dtype=hidden.dtype, device=hidden.device))
    mean = inside_reply.sum(1) / where.sum(1, keepdim=True)
    return torch.cat([hidden[torch.arange(len(last), device=hidden.device), last], mean], dim=-1)


def inside(width: int, prompt_lengths: Tensor, ends: Tensor) -> Tensor:
    """[B, width] bool: the positions of each reply; of one without any token, the prompt's last."""
    first = torch.minimum(prompt_lengths, ends - 1)
    positions = torch.arange(width, device=ends.device)
    return (positions >= first[:, None]) & (positions < ends[:, None])


def strongest(values: Tensor, where: Tensor, softness: float) -> Tensor:
    """values [B, T, R], where [B, T] -> [B, R]: a smooth maximum over the positions that count.

    A violation stands in a few words; a mean over the reply dilutes it. 0 wherever all values are 0, between the mean
    (softness to infinity) and the maximum (softness to 0).
    """
    masked = torch.where(where[..., None], values / softness, -torch.inf)
    return softness * (masked.logsumexp(1) - where.sum(1, keepdim=True).log())


def by_length(rows: Sequence[EncodedReply], batch_tokens: int) -> Iterator[list[int]]:
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
