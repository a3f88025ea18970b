"""What a trained reward model is worth on replies that it was not trained on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from torch import Tensor

from rlhf.training import statistics
from rlhf.training.gold import Gold
from rlhf.training.reward.examples import Examples, Group
from rlhf.training.reward.model import SPREAD_FLOOR, Poll, ReplyScores, RewardModel, States
from rlhf.training.snapshot.files import PlainReply
from rlhf.training.tokens import ChatTokenizer

MIN_REPLIES_TO_NORMALISE = 16
SAMPLED_RANKINGS = 200
"""Held-out rankings that are scored after each epoch; after the last all of them are."""

Part = tuple[Examples, States]


def normalise(model: RewardModel, training: Part, held_out: Part, poll: Poll) -> ReplyScores:
    """Scale the scores to mean 0 and spread 1 on replies that were not trained on; returns the held-out ones'."""
    model.merge()
    scored = model.judge_states(held_out[1], held_out[0].rows, poll)
    seen = scored.scores
    if len(seen) < MIN_REPLIES_TO_NORMALISE:
        seen = model.judge_states(training[1], training[0].rows, poll).scores
    model.scale.score_mean = seen.mean()
    model.scale.score_sd = seen.std(correction=0).clamp_min(SPREAD_FLOOR)
    return replace(scored, scores=(scored.scores - model.scale.score_mean) / model.scale.score_sd)


@dataclass(frozen=True)
class Sample:
    """Some held-out rankings, the same ones in every epoch."""

    items: list[int]
    states: States
    groups: list[Group]

    @classmethod
    def of(cls, rest: Examples, states: States) -> "Sample":
        """Evenly spaced among those of `rest`."""
        ranked = [group for group in rest.groups if group.pairs]
        groups = ranked[:: max(1, -(-len(ranked) // SAMPLED_RANKINGS))]
        return cls(sorted({item for group in groups for item in group.items}), states, groups)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, position: int, /) -> Tensor:
        return self.states[self.items[position]]


def held_out_accuracy(model: RewardModel, rest: Examples, sample: Sample, poll: Poll) -> dict[str, float]:
    """The figure that says whether another epoch still helped; nothing where no pair was held out."""
    if not sample.groups:
        return {}
    rows = [rest.rows[item] for item in sample.items]
    scores = dict(zip(sample.items, model.judge_states(sample, rows, poll).scores.tolist(), strict=True))
    pairs = [(group.items[a], group.items[b]) for group in sample.groups for a, b in group.pairs]
    right = [_right(scores[a], scores[b]) for a, b in pairs]
    return {"held_out/accuracy": sum(right) / len(right)}


def _right(better: float, worse: float) -> float:
    return float(better > worse) + 0.5 * float(better == worse)


def figures(
    scored: ReplyScores,
    rest: Examples,
    judged: Sequence[str],
    tokenizer: ChatTokenizer,
    judge: dict[str, Any] | None,
) -> dict[str, Any]:
    """Accuracy on strict pairs with bounds by prompt, and the AUC of the rule head, pooled and of each rule."""
    if not rest.rows:
        return {"accuracy": None, "accuracy_low": None, "pairs": 0, "flag_auc": None, "flags": 0}
    scores = scored.scores.tolist()
    pairs = rest.pairs
    right = [_right(scores[a], scores[b]) for a, b in pairs]
    share = statistics.cluster_bootstrap(right, [rest.prompts[a] for a, _ in pairs])
    columns = {key: scored.violations[:, i].tolist() for i, key in enumerate(judged)}
    labels = [
        (key, columns[key][item], violates)
        for item, found in rest.labels.items()
        for key, violates, _ in found
        if key in columns
    ]
    result: dict[str, Any] = {
        "accuracy": share.value,
        "accuracy_low": share.low,
        "accuracy_high": share.high,
        "pairs": len(pairs),
        "flag_auc": statistics.auc([p for _, p, _ in labels], [label for _, _, label in labels]),
        "flags": len(labels),
        "flag_auc_by_rule": {
            key: statistics.auc([p for k, p, _ in labels if k == key], [v for k, _, v in labels if k == key])
            for key in columns
        },
        "length_correlation": statistics.correlation(scores, [row.length - row.prompt_length for row in rest.rows]),
    }
    if judge is None or judge.get("kind") != "gold":
        return result | {"measured_against": "held-out labels"}
    as_labelled = {f"{name}_as_labelled": result[name] for name in ("accuracy", "flag_auc")}
    return result | as_labelled | _against_gold(scores, columns, rest, tokenizer, judge)


def _against_gold(
    scores: list[float],
    columns: dict[str, list[float]],
    rest: Examples,
    tokenizer: ChatTokenizer,
    judge: dict[str, Any],
) -> dict[str, Any]:
    """The same figures, measured against the simulated annotators' functions without their noise."""
    gold = Gold.resolve(judge)
    replies = [
        PlainReply(prompt, tokenizer.decode(row.ids[row.prompt_length :]), row.ids[-1] == tokenizer.end_id)
        for prompt, row in zip(rest.prompts, rest.rows, strict=True)
    ]
    truth, broken = gold.scores(replies), gold.violations(replies)
    pairs = [
        (a, b)
        for group in rest.groups
        for a, b in combinations(group.items, 2)
        if group.pairs and truth[a] != truth[b]
    ]
    right = [float((scores[a] - scores[b]) * (truth[a] - truth[b]) > 0) for a, b in pairs]
    share = statistics.cluster_bootstrap(right, [rest.prompts[a] for a, _ in pairs])
    judged = [(columns[key][i], hit) for key, hits in broken.items() if key in columns for i, hit in enumerate(hits)]
    return {
        "accuracy": share.value,
        "accuracy_low": share.low,
        "accuracy_high": share.high,
        "pairs": len(pairs),
        "flag_auc": statistics.auc([p for p, _ in judged], [hit for _, hit in judged]),
        "measured_against": gold.label,
    }
