"""Samples completions in batches and returns the trunk states, which every later pass over the tokens reuses.

One prefill serves all completions of a prompt. A row that ends is dropped only after its last token, EOS or not,
has passed the trunk: policy, reference, reward and value all read the state of that token.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from rlhf.training.model.adapter import Adapter
from rlhf.training.model.attention import Attention, KeyValueCache
from rlhf.training.model.draw import choose, log_prob_of
from rlhf.training.model.transformer import Transformer
from rlhf.training.model.weights import LayerWeights

PAD = 0  # fills rows on the right; nothing ever asks whether an id is the pad, lengths say where a row ends
COMPACT_BELOW = 0.85  # share of rows still growing under which copying their caches pays


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


def sample(
    transformer: Transformer,
    prompts: Sequence[Sequence[int]],
    *,
    completions_per_prompt: int = 1,
    max_tokens: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int,
    adapter: Adapter | None = None,
    batch_rows: int = 64,
    keep_states: bool = True,
    keep_log_probs: bool = False,
) -> Rollout:
    """Completions of each prompt, in the prompts' order, those of one prompt side by side.

    `temperature` 0 is greedy. The draw of a row depends on the seed and the row alone, not on `batch_rows`.
    """
    if keep_log_probs and (temperature == 0 or top_p < 1):
        raise ValueError("log-probs are those of plain sampling, at a temperature above 0 and without top_p")
    if not prompts or not all(prompts):
        raise ValueError("sampling needs at least one prompt, and no prompt may be empty")
    with torch.no_grad():
        weights = _fast_top(transformer, adapter)
        noise = _uniforms(len(prompts) * completions_per_prompt, max_tokens, seed)
        at_once = max(1, batch_rows // completions_per_prompt)
        parts = []
        for start in range(0, len(prompts), at_once):
            rows = slice(start * completions_per_prompt, (start + at_once) * completions_per_prompt)
            batch = _Batch(transformer, weights, prompts[start : start + at_once], completions_per_prompt, max_tokens)
            parts.append(
                batch.run(noise[rows], temperature, top_p, keep_states=keep_states, keep_log_probs=keep_log_probs)
            )
    return _join(parts)


def _fast_top(transformer: Transformer, adapter: Adapter | None) -> dict[int, LayerWeights]:
    """The top's layers with the adapter merged in, laid out for many small passes."""
    top = range(transformer.trunk_layers, transformer.config.layers)
    merged = adapter.merged(transformer) if adapter is not None else {i: transformer.layers[i] for i in top}
    return {index: layer.packed() for index, layer in merged.items()}


def _uniforms(rows: int, steps: int, seed: int) -> Tensor:
    """[rows, steps] numbers in [0, 1), fp64: one decides one token."""
    return torch.rand(rows, steps, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class _Batch:
    """The rows that grow together. N counts them all, R those that still grow."""

    def __init__(
        self,
        transformer: Transformer,
        weights: Mapping[int, LayerWeights],
        prompts: Sequence[Sequence[int]],
        copies: int,
        max_tokens: int,
    ) -> None:
        device = transformer.device
        self.model, self.weights, self.copies, self.max_tokens = transformer, weights, copies, max_tokens
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
        self.prompts = torch.full((len(prompts), int(lengths.max())), PAD, device=device)
        for row, prompt in enumerate(prompts):
            self.prompts[row, : len(prompt)] = torch.tensor(prompt, device=device)
        self.cache = KeyValueCache(lengths, copies=copies)
        self.starts = lengths.repeat_interleave(copies)  # [N]
        total = self.prompts.shape[1] + max_tokens
        self.ids = torch.full((len(self.starts), total), PAD, device=device)
        self.ids[:, : self.prompts.shape[1]] = self.prompts.repeat_interleave(copies, dim=0)
        self.counts = torch.zeros_like(self.starts)  # [N] tokens of the completion so far
        self.ended = torch.zeros_like(self.starts, dtype=torch.bool)
        self.eos = torch.tensor(transformer.config.eos, dtype=torch.long, device=device)

    def run(
        self, noise: Tensor, temperature: float, top_p: float, *, keep_states: bool, keep_log_probs: bool
    ) -> Rollout:
        """noise [N, max_tokens] -> the finished rows."""
        log_probs = torch.zeros(self.ids.shape if keep_log_probs else (len(self.ids), 0), device=self.model.device)
        trunk, hidden = self._prefill()
        states = self._states(trunk, keep_states)
        rows = torch.arange(len(self.starts), device=self.model.device)  # [R] of N
        noise = noise.to(self.model.device)
        for step in range(self.max_tokens):
            logits = self.model.logits(hidden)
            tokens = choose(logits, noise[rows, step], temperature=temperature, top_p=top_p)
            if keep_log_probs:
                log_probs[rows, self.starts[rows] + step] = log_prob_of(logits, tokens, temperature=temperature)
            self._write(rows, tokens)
            trunk = self._trunk_step(rows, tokens)
            if keep_states:
                states[rows, self.starts[rows] + step] = trunk[:, 0]
            growing = ~self.ended[rows]
            if step + 1 == self.max_tokens or not bool(growing.any()):
                break
            if float(growing.float().mean()) < COMPACT_BELOW:
                rows, trunk = rows[growing], trunk[growing]
                self.cache.keep(growing.nonzero()[:, 0])
            hidden = self._top(trunk, self._rope(rows), self.cache.attend)[:, 0]
        return self._finish(states, log_probs)

    def _prefill(self) -> tuple[Tensor, Tensor]:
        """Trunk states [prompts, P, D] and the hidden states that choose each row's first token, [N, D]."""
        rope = self.model.rope(torch.arange(self.prompts.shape[1], device=self.model.device))
        trunk_layers = range(self.model.trunk_layers)
        embedded = self.model.embed(self.prompts)
        trunk = self.model.run_layers(embedded, trunk_layers, rope=rope, attend=self.cache.prefill)
        hidden = self._top(trunk, rope, self.cache.prefill)
        last = self.starts[:: self.copies] - 1
        return trunk, hidden[torch.arange(len(last), device=last.device), last].repeat_interleave(self.copies, dim=0)

    def _states(self, prompt_trunk: Tensor, wanted: bool) -> Tensor:
        """A place for the trunk states [N, T, D], those of the prompts filled in."""
        if not wanted:
            return prompt_trunk.new_zeros(len(self.starts), 0, prompt_trunk.shape[2])
        states = prompt_trunk.new_zeros(*self.ids.shape, prompt_trunk.shape[2])
        states[:, : self.prompts.shape[1]] = prompt_trunk.repeat_interleave(self.copies, dim=0)
        return states

    def _write(self, rows: Tensor, tokens: Tensor) -> None:
        """Append one token to each row that has not ended; ended rows that wait for compaction get none."""
        growing = ~self.ended[rows]
        rows, tokens = rows[growing], tokens[growing]
        self.ids[rows, self.starts[rows] + self.counts[rows]] = tokens
        self.counts[rows] += 1
        self.ended[rows] = torch.isin(tokens, self.eos)

    def _rope(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The rotation at the last written token of rows that grow."""
        return self.model.rope((self.starts[rows] + self.counts[rows] - 1)[:, None])

    def _trunk_step(self, rows: Tensor, tokens: Tensor) -> Tensor:
        """The new tokens [R] through the trunk: [R, 1, D]."""
        self.cache.advance()
        layers = range(self.model.trunk_layers)
        embedded = self.model.embed(tokens[:, None])
        return self.model.run_layers(embedded, layers, rope=self._rope(rows), attend=self.cache.attend)

    def _top(self, trunk: Tensor, rope: tuple[Tensor, Tensor], attend: Attention) -> Tensor:
        layers = range(self.model.trunk_layers, self.model.config.layers)
        states = self.model.run_layers(trunk, layers, rope=rope, attend=attend, weights=self.weights)
        return self.model.final_norm(states)

    def _finish(self, states: Tensor, log_probs: Tensor) -> Rollout:
        lengths = self.starts + self.counts
        longest = int(lengths.max())
        inside = torch.arange(longest, device=lengths.device) < lengths[:, None]
        ids = self.ids[:, :longest].masked_fill(~inside, PAD)
        if states.shape[1]:
            states = states[:, :longest].masked_fill(~inside[..., None], 0.0)
        if log_probs.shape[1]:
            log_probs = log_probs[:, :longest].masked_fill(~inside, 0.0)
        index = torch.arange(len(self.prompts), device=lengths.device).repeat_interleave(self.copies)
        return Rollout(ids, self.starts, lengths, self.ended, states, index, log_probs)


def _join(parts: Sequence[Rollout]) -> Rollout:
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


def _lengthen(states: Tensor, longest: int) -> Tensor:
    missing = longest - states.shape[1] if states.shape[1] else 0
    return functional.pad(states, (0, 0, 0, missing))
