"""Training examples of the reward model: each reply once, grouped by ranking, with its labels and trunk states."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from rlhf.training.model.transformer import Transformer
from rlhf.training.reward.features import EncodedReply, by_length, encode, inside, lengths, pad, stack
from rlhf.training.reward.model import BATCH_TOKENS, RewardModel
from rlhf.training.snapshot.files import PlainReply, PromptMessages, RankingRow, ViolationRow, thaw
from rlhf.training.tokens import ChatTokenizer


@dataclass
class Group:
    """Replies of one batch element: a ranking's, with its pairs, or single replies that only carry labels."""

    items: list[int]
    pairs: list[tuple[int, int]] = field(default_factory=list)
    """(better, worse) positions within `items`."""
    pair_weight: float = 0.0
    made_up_pairs: list[tuple[int, int]] = field(default_factory=list)
    """Of a reply that people ranked and one that nobody judged (reward/degenerate.py)."""
    made_up_weight: float = 0.0


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
) -> Examples:
    """Encode each distinct reply once and group it."""
    index: dict[PlainReply, int] = {}
    for reply in [r for ranking in rankings for r in ranking.replies] + [row.reply for row in violations]:
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
        Group([index[reply] for reply in ranking.replies], ranking.pairs, ranking.pair_weight) for ranking in rankings
    ]
    labels: dict[int, list[RuleLabel]] = {}
    for row in violations:
        labels.setdefault(index[row.reply], []).append(RuleLabel(row.rule, row.violates, row.weight))
    ranked = {item for group in groups for item in group.items}
    single = [item for item in labels if item not in ranked]
    groups += [Group(single[start : start + 4]) for start in range(0, len(single), 4)]
    return Examples(rows, [reply.prompt for reply in index], groups, labels)


def trunk_states(
    transformer: Transformer, rows: Sequence[EncodedReply], padding_id: int, poll: Callable[[], None] = lambda: None
) -> list[Tensor]:
    """Each row's trunk states [T_i, D]: they never change, so they are computed once for all epochs.

    `poll` is called between batches and may raise to stop.
    """
    states: list[Tensor] = [torch.empty(0)] * len(rows)
    for batch in by_length(rows, BATCH_TOKENS):
        poll()
        padded = transformer.run_trunk(pad([rows[i] for i in batch], padding_id))
        for position, item in enumerate(batch):
            states[item] = padded[position, : rows[item].length].clone()
    return states


@torch.no_grad()
def raw_features(
    model: RewardModel, states: Sequence[Tensor], rows: Sequence[EncodedReply]
) -> tuple[Tensor, Tensor, Tensor]:
    """Before standardising: pooled features [N, F], and mean and mean square of the tokens' features [W] each."""
    pooled = torch.zeros(len(rows), model.scale.feature_mean.shape[0])
    total = torch.zeros(2, model.scale.token_mean.shape[0])
    count = 0
    for batch in by_length(rows, BATCH_TOKENS):
        spans = lengths([rows[i] for i in batch])
        tokens = model.token_features(stack([states[i] for i in batch]))
        pooled[batch] = model.pooled(tokens, *spans)
        counted = tokens[inside(tokens.shape[1], *spans)]
        total += torch.stack([counted.sum(0), counted.square().sum(0)])
        count += len(counted)
    return pooled, *(total / count)


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
