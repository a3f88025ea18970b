"""Training examples of the reward model: each reply once, grouped by ranking, with its labels and trunk states."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from rlhf.training import processes
from rlhf.training.model.decoder import Decoder
from rlhf.training.reward.features import EncodedReply, by_length, encode, inside, lengths, pad, stack
from rlhf.training.reward.model import BATCH_TOKENS, Poll, RewardModel, States
from rlhf.training.reward.states import states_on_disk
from rlhf.training.snapshot.files import (
    PlainReply,
    PromptMessages,
    RankingRow,
    ThumbRow,
    ViolationRow,
    thaw,
)
from rlhf.training.tokens import ChatTokenizer


@dataclass
class Group:
    """Replies of one batch element: a ranking's, with its pairs, or single replies that only carry labels."""

    items: list[int]
    pairs: list[tuple[int, int]] = field(default_factory=list)
    """(better, worse) positions within `items`."""
    pair_weight: float = 0.0
    margins: list[float] = field(default_factory=list)
    """Of each pair; none: all 0."""
    made_up_pairs: list[tuple[int, int]] = field(default_factory=list)
    """Of a reply that people ranked and one that nobody judged (reward/degenerate.py)."""
    made_up_weight: float = 0.0


class ThumbLabel(NamedTuple):
    """Whether one person found a reply good, by itself."""

    is_up: bool
    weight: float


class RuleLabel(NamedTuple):
    """Whether a reply breaks a rule, as one annotator saw it."""

    rule: str
    violates: bool
    weight: float


@dataclass
class Examples:
    """Every distinct reply once, with the rankings and labels that refer to it."""

    rows: list[EncodedReply]
    prompts: list[PromptMessages]
    groups: list[Group]
    labels: dict[int, list[RuleLabel]]
    """By the index of the reply."""
    thumbs: dict[int, list[ThumbLabel]] = field(default_factory=dict)
    """By the index of the reply."""

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """(better, worse) replies of all groups."""
        return [(group.items[a], group.items[b]) for group in self.groups for a, b in group.pairs]


class NothingToLearn(Exception):
    """A snapshot without a single preference pair or rule label in the wanted split."""


def examples(
    rankings: Sequence[RankingRow],
    violations: Sequence[ViolationRow],
    tokenizer: ChatTokenizer,
    *,
    max_completion_tokens: int,
    thumbs: Sequence[ThumbRow] = (),
) -> Examples:
    """Encode each distinct reply once and group it."""
    index: dict[PlainReply, int] = {}
    ranked_replies = (reply for ranking in rankings for reply in ranking.replies)
    for reply in (*ranked_replies, *(row.reply for row in violations), *(row.reply for row in thumbs)):
        index.setdefault(reply, len(index))
    rows = [
        encode(
            tokenizer,
            thaw(reply.prompt),
            reply.text,
            finished=reply.finished,
            max_completion_tokens=max_completion_tokens,
        )
        for reply in index
    ]
    groups = [
        Group([index[reply] for reply in ranking.replies], ranking.pairs, ranking.pair_weight, ranking.pair_margins)
        for ranking in rankings
    ]
    labels: dict[int, list[RuleLabel]] = {}
    for row in violations:
        labels.setdefault(index[row.reply], []).append(RuleLabel(row.rule, row.violates, row.weight))
    thumbed: dict[int, list[ThumbLabel]] = {}
    for thumb in thumbs:
        thumbed.setdefault(index[thumb.reply], []).append(ThumbLabel(thumb.is_up, thumb.weight))
    ranked = {item for group in groups for item in group.items}
    single = [item for item in labels if item not in ranked]
    single += [item for item in thumbed if item not in ranked and item not in labels]
    groups += [Group(single[start : start + 4]) for start in range(0, len(single), 4)]
    return Examples(rows, [reply.prompt for reply in index], groups, labels, thumbed)


def trunk_states(
    transformer: Decoder,
    rows: Sequence[EncodedReply],
    padding_id: int,
    poll: Callable[[], None] = lambda: None,
    directory: Path | None = None,
    progress: Poll = lambda done, of: None,
    stored: torch.dtype = torch.float32,
) -> States:
    """Each row's trunk states [T_i, D]: they never change, so they are computed once for all epochs.

    `poll` is called between batches and may raise to stop. With a `directory` they stand there, and what is there
    already is not computed again; without one they are held in memory, which is for a few replies only.
    """

    def between(done: int, of: int) -> None:
        poll()
        progress(done, of)

    if directory is not None:
        return states_on_disk(transformer, rows, padding_id, directory, between, stored)
    states: list[Tensor] = [torch.empty(0)] * len(rows)
    for batch in by_length(rows, BATCH_TOKENS):
        poll()
        padded = transformer.run_trunk(pad([rows[i] for i in batch], padding_id))
        for position, item in enumerate(batch):
            states[item] = padded[position, : rows[item].length].clone()
    return states


class Moments(NamedTuple):
    """Means and mean squares, fp64: of the pooled features [F] and of those of each token [W]."""

    pooled_mean: Tensor
    pooled_square: Tensor
    token_mean: Tensor
    token_square: Tensor


@torch.no_grad()
def raw_features(
    model: RewardModel,
    states: States,
    rows: Sequence[EncodedReply],
    progress: Poll = lambda done, of: None,
) -> Moments:
    """Of the features before standardising. Summed as they come: those of all replies would fill a memory."""
    pooled = torch.zeros(2, model.scale.feature_mean.shape[0], dtype=torch.float64, device=model.device)
    tokens = torch.zeros(2, model.scale.token_mean.shape[0], dtype=torch.float64, device=model.device)
    done = counted = 0
    batches = list(by_length(rows, BATCH_TOKENS))
    for batch, counts in processes.in_step(processes.share(batches), batches[0] if batches else []):
        progress(done * processes.count(), len(rows))
        spans = tuple(span.to(model.device) for span in lengths([rows[i] for i in batch]))
        found = model.token_features(stack([states[i] for i in batch]))
        inner = found[inside(found.shape[1], *spans)]
        if not counts:
            continue
        pooled += _sums(model.pooled(found, *spans))
        tokens += _sums(inner)
        done, counted = done + len(batch), counted + len(inner)
    pooled, tokens = processes.total(pooled), processes.total(tokens)
    done, counted = (int(number) for number in processes.totals([done, counted]))
    return Moments(*(pooled / max(1, done)), *(tokens / max(1, counted)))


def _sums(values: Tensor) -> Tensor:
    """[N, F] -> [2, F]: sums of the values and of their squares."""
    wide = values.double()
    return torch.stack([wide.sum(0), wide.square().sum(0)])


def pair_table(groups: Sequence[Group]) -> tuple[Tensor, Tensor]:
    """(pairs [P, 2], weights [P]) over the groups' items laid end to end; people's pairs first, then made-up ones."""
    starts = [0, *accumulate(len(group.items) for group in groups)]
    placed = list(zip(starts, groups, strict=False))
    by_people = [(start, group.pairs, group.pair_weight) for start, group in placed]
    made_up = [(start, group.made_up_pairs, group.made_up_weight) for start, group in placed]
    pairs: list[tuple[int, int]] = []
    weights: list[float] = []
    for start, found, weight in [*by_people, *made_up]:
        pairs += [(start + better, start + worse) for better, worse in found]
        weights += [weight] * len(found)
    return torch.tensor(pairs, dtype=torch.long).reshape(-1, 2), torch.tensor(weights)


def pair_margins(groups: Sequence[Group], pairs: int) -> Tensor:
    """[pairs], in the order of `pair_table`; 0 of pairs that are not people's, which come last there."""
    margins = torch.zeros(pairs)
    known = [m for group in groups for m in (group.margins or [0.0] * len(group.pairs))]
    margins[: len(known)] = torch.tensor(known)
    return margins
