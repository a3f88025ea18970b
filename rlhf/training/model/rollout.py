"""Completions as they were sampled, with the trunk states that every later pass over their tokens reuses."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from rlhf.training import processes

PAD = 0  # fills rows on the right; nothing ever asks whether an id is the pad, lengths say where a row ends


@dataclass(frozen=True)
class Rollout:
    """N completions. Rows are prompt, completion (EOS included), pads; positions count from the row's start."""

    ids: Tensor  # [N, T] int64
    prompt_lengths: Tensor  # [N]
    lengths: Tensor  # [N], prompt and completion
    ended: Tensor  # [N] bool: the last token is an EOS
    states: Tensor  # [N, T, D] trunk states; [N, 0, D] where they were not asked for
    prompt_index: Tensor  # [N], which prompt a row belongs to
    log_probs: Tensor  # [N, T] of the completion's tokens as they were drawn, 0 elsewhere; [N, 0] if not asked for

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def completion_lengths(self) -> Tensor:
        """[N] tokens, EOS counted."""
        return self.lengths - self.prompt_lengths

    def completion_mask(self) -> Tensor:
        """[N, T] bool: the positions that hold a token of the completion."""
        positions = torch.arange(self.ids.shape[1], device=self.ids.device)
        return (positions >= self.prompt_lengths[:, None]) & (positions < self.lengths[:, None])

    def completion_log_probs(self) -> Tensor:
        """[N, C] the sampler's own log-probs of its tokens, 0 where none is; C the longest completion."""
        lengths = self.completion_lengths
        columns = torch.arange(int(lengths.max()), device=lengths.device) < lengths[:, None]
        found = torch.zeros(columns.shape, dtype=self.log_probs.dtype, device=lengths.device)
        found[columns] = self.log_probs[self.completion_mask()]
        return found

    def completions(self) -> list[list[int]]:
        """The ids of each completion, without the EOS."""
        ends = (self.lengths - self.ended.long()).tolist()
        rows = zip(self.ids.tolist(), self.prompt_lengths.tolist(), ends, strict=True)
        return [ids[start:end] for ids, start, end in rows]

    def select(self, rows: Tensor) -> "Rollout":
        """These rows, cut to the longest of them."""
        longest = int(self.lengths[rows].max())
        return Rollout(
            self.ids[rows, :longest],
            self.prompt_lengths[rows],
            self.lengths[rows],
            self.ended[rows],
            self.states[rows, :longest],
            self.prompt_index[rows],
            self.log_probs[rows, :longest],
        )


def join(parts: Sequence[Rollout]) -> Rollout:
    """Rollouts one below the other; the prompts of later parts are counted on."""
    longest = max(part.ids.shape[1] for part in parts)
    counted = 0
    index = []
    for part in parts:
        index.append(part.prompt_index + counted)
        counted += int(part.prompt_index.max()) + 1
    return Rollout(
        torch.cat([functional.pad(part.ids, (0, longest - part.ids.shape[1]), value=PAD) for part in parts]),
        torch.cat([part.prompt_lengths for part in parts]),
        torch.cat([part.lengths for part in parts]),
        torch.cat([part.ended for part in parts]),
        torch.cat([_lengthen(part.states, longest) for part in parts]),
        torch.cat(index),
        torch.cat([_lengthen(part.log_probs[..., None], longest)[..., 0] for part in parts]),
    )


def gather(part: Rollout, prompts: slice) -> Rollout:
    """The rows of all processes, of which each has made those of some prompts; of an empty slice none count."""
    longest, rows = int(processes.most(part.ids.shape[1])), torch.arange(len(part), device=part.ids.device)
    kept = rows if prompts.start < prompts.stop else rows[:0]
    whole = Rollout(
        processes.gather(functional.pad(part.ids, (0, longest - part.ids.shape[1]), value=PAD)[kept]),
        processes.gather(part.prompt_lengths[kept]),
        processes.gather(part.lengths[kept]),
        processes.gather(part.ended[kept]),
        processes.gather(_lengthen(part.states, longest)[kept]),
        processes.gather(part.prompt_index[kept] + prompts.start),
        processes.gather(_lengthen(part.log_probs[..., None], longest)[..., 0][kept]),
    )
    return whole.select(torch.arange(len(whole), device=part.ids.device))


def _lengthen(states: Tensor, longest: int) -> Tensor:
    missing = longest - states.shape[1] if states.shape[1] else 0
    return functional.pad(states, (0, 0, 0, missing))
