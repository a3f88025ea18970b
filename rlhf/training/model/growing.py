"""Rows that grow together, one token at a time: what is the same whichever backend computes the next hidden states.

N counts all rows, R those that still grow. P longest prompt, T longest row, D hidden size.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rlhf.training.model.draw import choose, log_prob_of
from rlhf.training.model.rollout import PAD, Rollout

if TYPE_CHECKING:
    from rlhf.training.model.decoder import Decoder

COMPACT_BELOW = 0.85  # share of rows still growing under which copying their caches pays


class GrowingRows(ABC):
    """A backend says how prompts and tokens are read; ids, draws and ends are kept here."""

    def __init__(self, model: "Decoder", prompts: Sequence[Sequence[int]], *, copies: int, max_tokens: int) -> None:
        device = model.device
        self._decoder, self.copies, self.max_tokens = model, copies, max_tokens
        self.prompt_lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
        self.prompts = torch.full((len(prompts), int(self.prompt_lengths.max())), PAD, device=device)
        for row, prompt in enumerate(prompts):
            self.prompts[row, : len(prompt)] = torch.tensor(prompt, device=device)
        self.starts = self.prompt_lengths.repeat_interleave(copies)  # [N]
        total = self.prompts.shape[1] + max_tokens
        self.ids = torch.full((len(self.starts), total), PAD, device=device)
        self.ids[:, : self.prompts.shape[1]] = self.prompts.repeat_interleave(copies, dim=0)
        self.counts = torch.zeros_like(self.starts)  # [N] tokens of the completion so far
        self.ended = torch.zeros_like(self.starts, dtype=torch.bool)
        self.eos = torch.tensor(model.config.eos, dtype=torch.long, device=device)

    @abstractmethod
    def begin(self, *, keep_states: bool) -> Tensor:
        """Read the prompts: the hidden states that choose each row's first token, [N, D]."""

    @abstractmethod
    def read(self, rows: Tensor, tokens: Tensor, step: int) -> None:
        """Tokens [R] were written to these rows at this step; some of them may have ended now, or before."""

    @abstractmethod
    def keep(self, growing: Tensor) -> None:
        """Go on with these rows only: [R] bool."""

    @abstractmethod
    def next(self, rows: Tensor) -> Tensor:
        """The hidden states [R, D] that choose the next token of these rows."""

    @abstractmethod
    def trunk_states(self, longest: int) -> Tensor:
        """Of the finished rows [N, longest, D]; the pads' mean nothing."""

    def run(
        self, noise: Tensor, temperature: float, top_p: float, *, keep_states: bool, keep_log_probs: bool
    ) -> Rollout:
        """noise [N, max_tokens] -> the finished rows."""
        device = self._decoder.device
        log_probs = torch.zeros(self.ids.shape if keep_log_probs else (len(self.ids), 0), device=device)
        hidden = self.begin(keep_states=keep_states)
        rows = torch.arange(len(self.starts), device=device)  # [R] of N
        noise = noise.to(device)
        for step in range(self.max_tokens):
            logits = self._decoder.logits(hidden)
            tokens = choose(logits, noise[rows, step], temperature=temperature, top_p=top_p)
            if keep_log_probs:
                log_probs[rows, self.starts[rows] + step] = log_prob_of(logits, tokens, temperature=temperature)
            self.append(rows, tokens)
            self.read(rows, tokens, step)
            growing = ~self.ended[rows]
            if step + 1 == self.max_tokens or not bool(growing.any()):
                break
            if float(growing.float().mean()) < COMPACT_BELOW:
                rows = rows[growing]
                self.keep(growing)
            hidden = self.next(rows)
        return self._finish(log_probs, keep_states)

    def append(self, rows: Tensor, tokens: Tensor) -> None:
        """Append one token to each row that has not ended; ended rows that wait for compaction get none."""
        growing = ~self.ended[rows]
        rows, tokens = rows[growing], tokens[growing]
        self.ids[rows, self.starts[rows] + self.counts[rows]] = tokens
        self.counts[rows] += 1
        self.ended[rows] = torch.isin(tokens, self.eos)

    def _finish(self, log_probs: Tensor, keep_states: bool) -> Rollout:
        lengths = self.starts + self.counts
        longest = int(lengths.max())
        inside = torch.arange(longest, device=lengths.device) < lengths[:, None]
        ids = self.ids[:, :longest].masked_fill(~inside, PAD)
        self.ids = ids
        states = self.trunk_states(longest) if keep_states else self._no_states()
        if keep_states:
            states = states.masked_fill(~inside[..., None], 0.0)
        if log_probs.shape[1]:
            log_probs = log_probs[:, :longest].masked_fill(~inside, 0.0)
        index = torch.arange(len(self.prompts), device=lengths.device).repeat_interleave(self.copies)
        return Rollout(ids, self.starts, lengths, self.ended, states, index, log_probs)

    def _no_states(self) -> Tensor:
        return torch.zeros(len(self.ids), 0, self._decoder.config.hidden_size, device=self.ids.device)
