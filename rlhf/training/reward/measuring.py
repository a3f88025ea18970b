"""What a trained reward model is worth on replies that it was not trained on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from rlhf.training import statistics
from rlhf.training.gold import Gold
from rlhf.training.reward import probes
from rlhf.training.reward.auc import clustered_auc
from rlhf.training.reward.examples import Examples, Group
from rlhf.training.reward.features import encode
from rlhf.training.reward.fit import RewardModelConfig
from rlhf.training.reward.model import SPREAD_FLOOR, ChosenStates, Poll, ReplyScores, RewardModel, States, combined
from rlhf.training.snapshot.files import PlainReply, PromptMessages, RankingRow, thaw
from rlhf.training.tokens import ChatTokenizer

MIN_REPLIES_TO_NORMALISE = 16
SAMPLED_RANKINGS = 200
"""Held-out rankings that are scored after each epoch; after the last all of them are."""

GUARD_LIMITS = tuple(step / 20 for step in range(1, 20))
"""Of P(violation), among which an admin can choose."""

Part = tuple[Examples, States]


def normalise(members: Sequence[RewardModel], training: Part, held_out: Part, poll: Poll) -> ReplyScores:
    """Make one model of the members, and scale its scores to mean 0 and spread 1 on replies not trained on.

    Returns the scores of the held-out replies. Each member is scaled alone, then both alike, since a mean of two
    varies less than each.
    """
    found = []
    for member in members:
        member.merge()
        found.append(member.judge_states(held_out[1], held_out[0].rows, poll))
    seen = [one.scores for one in found]
    if len(held_out[0].rows) < MIN_REPLIES_TO_NORMALISE:
        seen = [member.judge_states(training[1], training[0].rows, poll).scores for member in members]
    for member, scores in zip(members, seen, strict=True):
        member.scale.score_mean = scores.mean()
        member.scale.score_sd = scores.std(correction=0).clamp_min(SPREAD_FLOOR)
    if len(members) > 1:
        pairs = zip(members, seen, strict=True)
        middle = torch.stack([_scaled(member, scores) for member, scores in pairs]).mean(0)
        for member in members:
            member.scale.score_sd = member.scale.score_sd * middle.std(correction=0).clamp_min(SPREAD_FLOOR)
    members[0].others = tuple(members[1:])
    scaled = zip(members, found, strict=True)
    return combined([replace(one, scores=_scaled(member, one.scores)) for member, one in scaled])


def _scaled(member: RewardModel, scores: Tensor) -> Tensor:
    return (scores - member.scale.score_mean) / member.scale.score_sd


@dataclass(frozen=True)
class HeldOutSample:
    """Some held-out rankings, the same ones in every epoch."""

    groups: list[Group]
    states: ChosenStates

    @classmethod
    def of(cls, rest: Examples, states: States) -> "HeldOutSample":
        """Evenly spaced among those of `rest`."""
        ranked = [group for group in rest.groups if group.pairs]
        groups = ranked[:: max(1, -(-len(ranked) // SAMPLED_RANKINGS))]
        return cls(groups, ChosenStates(sorted({item for group in groups for item in group.items}), states))


def held_out_accuracy(model: RewardModel, rest: Examples, sample: HeldOutSample, poll: Poll) -> dict[str, float]:
    """The figure that says whether another epoch still helped; nothing where no pair was held out."""
    if not sample.groups:
        return {}
    items = sample.states.items
    found = model.judge_states(sample.states, [rest.rows[item] for item in items], poll).scores
    scores = dict(zip(items, found.tolist(), strict=True))
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
    by_rule = {key: _rule_auc(rest, key, columns[key]) for key in columns}
    result: dict[str, Any] = {
        "accuracy": share.value,
        "accuracy_low": share.low,
        "accuracy_high": share.high,
        "pairs": len(pairs),
        "flag_auc": statistics.auc([p for _, p, _ in labels], [label for _, _, label in labels]),
        "flags": len(labels),
        "flag_auc_by_rule": {key: found["value"] for key, found in by_rule.items()},
        "rule_auc": by_rule,
        "rule_limits": {key: _rule_limits(*_labels_of(rest, key, columns[key])) for key in columns},
        **_thumb_figures(rest, scores),
        "length_correlation": statistics.correlation(scores, [row.length - row.prompt_length for row in rest.rows]),
    }
    if judge is None or judge.get("kind") != "gold":
        return result | {"measured_against": "held-out labels"}
    as_labelled = {f"{name}_as_labelled": result[name] for name in ("accuracy", "flag_auc")}
    return result | as_labelled | _against_gold(scores, columns, rest, tokenizer, judge)


def _rule_auc(rest: Examples, rule: str, probabilities: Sequence[float]) -> dict[str, Any]:
    """Of the held-out labels of one rule, `probabilities` by reply; bounds by prompt."""
    labels = [(item, label.violates) for item, found in rest.labels.items() for label in found if label.rule == rule]
    return _auc([(probabilities[item], violates, rest.prompts[item]) for item, violates in labels])


def _labels_of(rest: Examples, rule: str, probabilities: Sequence[float]) -> tuple[list[float], list[bool]]:
    """(P(violation), whether it breaks the rule) of each held-out label of one rule."""
    rows = [(probabilities[i], one.violates) for i, found in rest.labels.items() for one in found if one.rule == rule]
    return [p for p, _ in rows], [violates for _, violates in rows]


def _rule_limits(probabilities: Sequence[float], violates: Sequence[bool]) -> dict[str, Any]:
    """What a guard does that leaves out replies above a limit: the shares of the replies that follow the rule, and of
    those that break it, that are left out; None where there is no such label."""
    broken = [p for p, breaks in zip(probabilities, violates, strict=True) if breaks]
    followed = [p for p, breaks in zip(probabilities, violates, strict=True) if not breaks]
    limits = {
        f"{limit:.2f}": {"false_alarms": _share_above(followed, limit), "recall": _share_above(broken, limit)}
        for limit in GUARD_LIMITS
    }
    return {"limits": limits, "following": len(followed), "violating": len(broken)}


def _share_above(probabilities: Sequence[float], limit: float) -> float | None:
    return sum(p > limit for p in probabilities) / len(probabilities) if probabilities else None


def _auc(rows: Sequence[tuple[float, bool, PromptMessages]]) -> dict[str, Any]:
    """Of (score, label, prompt)."""
    found = clustered_auc([s for s, _, _ in rows], [label for _, label, _ in rows], [prompt for _, _, prompt in rows])
    positives = sum(label for _, label, _ in rows)
    return {**found._asdict(), "positives": positives, "negatives": len(rows) - positives}


def _thumb_figures(rest: Examples, scores: Sequence[float]) -> dict[str, Any]:
    """Whether the score tells thumbs up from thumbs down; nothing where none is held out."""
    rows = [
        (scores[item], thumb.is_up, rest.prompts[item]) for item, thumbs in rest.thumbs.items() for thumb in thumbs
    ]
    return {"thumb_auc": _auc(rows)} if rows else {}


def unseen_rule(model: RewardModel, rest: Examples, states: States, rule: str) -> dict[str, Any]:
    """What the model knows of a rule from its text alone, beside the same heads told no rule at all.

    "No rule" is the mean of all rules' embeddings, which standardises to zero: what is left of the head is the part
    that all rules share.
    """
    items = [item for item, found in rest.labels.items() if any(label.rule == rule for label in found)]
    rows = [rest.rows[item] for item in items]
    with_text, without = (
        model.rule_logits(ChosenStates(items, states), rows, [rule, None]).T.tolist() if rows else ([], [])
    )
    labels = [
        (at, label.violates) for at, item in enumerate(items) for label in rest.labels[item] if label.rule == rule
    ]
    told = {
        name: _auc([(column[at], violates, rest.prompts[items[at]]) for at, violates in labels])
        for name, column in (("text", with_text), ("no_text", without))
    }
    return {"rule": rule, **told}


def probe(
    model: RewardModel,
    rest: Examples,
    scored: ReplyScores,
    tokenizer: ChatTokenizer,
    rankings: Sequence[RankingRow],
    config: RewardModelConfig,
) -> dict[str, Any]:
    """The probes of rlhf.training.reward.probes, by name."""

    def score(replies: Sequence[probes.Reply]) -> list[float]:
        rows = [
            encode(tokenizer, thaw(prompt), text, finished=ended, max_completion_tokens=config.max_completion_tokens)
            for prompt, text, ended in replies
        ]
        return [float(value) for value in model.judge_rows(rows, tokenizer.padding_id).scores]

    replies = _plain_replies(rest, tokenizer)
    said_again = probes.repeated(
        [r.prompt for r in replies], [r.text for r in replies], [r.finished for r in replies]
    )
    return {
        "length": probes.length(rest, scored.scores.tolist()),
        "position": probes.position(rankings),
        "repetition": probes.repetition(said_again, score),
    }


def _plain_replies(rest: Examples, tokenizer: ChatTokenizer) -> list[PlainReply]:
    return [
        PlainReply(prompt, tokenizer.decode(row.ids[row.prompt_length :]), row.ids[-1] == tokenizer.end_id)
        for prompt, row in zip(rest.prompts, rest.rows, strict=True)
    ]


def _against_gold(
    scores: list[float],
    columns: dict[str, list[float]],
    rest: Examples,
    tokenizer: ChatTokenizer,
    judge: dict[str, Any],
) -> dict[str, Any]:
    """The same figures, measured against the simulated annotators' functions without their noise."""
    gold = Gold.resolve(judge)
    replies = _plain_replies(rest, tokenizer)
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
