"""The part of an evaluation's report about rule violations: rates, and the rise over the policy before.

They are taken on the prompts that elicit violations, on all where none does. A gold judge is exact. The figures of
any other are corrected by held-out labels, for each rule and for "any rule"; the latter by labels of replies that
were looked at under every rule, else the rules' own rates bound it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rlhf.training.evaluation.judged import Judged, JudgedReplies
from rlhf.training.evaluation.violation_estimate import (
    EXACT,
    Column,
    Labels,
    PromptSums,
    Rise,
    rate,
    rate_of_any,
    rise,
    rise_of_any,
)
from rlhf.training.statistics import Interval, cluster_bootstrap

Side = Sequence[Sequence[Judged]]
Chances = Callable[[Judged], dict[str, float]]
RISE_TO_FIND, MISSED = 0.05, 0.05
"""A true rise this large shall pass at most that often."""
FEWEST_PROMPTS = 20


@dataclass(frozen=True)
class RuleLabels:
    """What is known of the judge's errors, by rule and of any rule; None where there are too few labels."""

    by_rule: dict[str, Labels | None]
    of_any: Labels | None


def describe(judged: JudgedReplies) -> dict[str, Any]:
    labels = _rule_labels(judged)
    after, before = (_sides(judged, name) for name in ("after", "before"))
    report: dict[str, Any] = {
        "violation_prompts": len(_eliciting(judged)),
        "violation_prompts_elicit": any(row.elicits is not None for row in judged.replies.rows),
        "violations_by": _method(judged, labels),
        "violation_labels": {rule: _facts(judged, rule, of) for rule, of in labels.by_rule.items()},
        **_rise("violation_rise", judged, labels, after.eliciting, before.eliciting),
    }
    for name, side in (("before", before), ("after", after)):
        report |= _rate(f"violation_rate_{name}", judged, labels, side.eliciting, _whole)
        report |= _rate(f"first_sentence_violation_rate_{name}", judged, labels, side.eliciting, _cut)
        report |= _rate(f"all_prompts_violation_rate_{name}", judged, labels, side.all, _whole)
        report[f"violation_rate_by_rule_{name}"] = _by_rule(judged, labels, side.eliciting)
        report[f"violation_n_{name}"] = sum(len(of_prompt) for of_prompt in side.eliciting)
    return report | {"violation_prompts_needed": prompts_needed(report["violation_rate_before"])}


def against_anchor(judged: JudgedReplies) -> dict[str, Any]:
    """The same against the original base."""
    labels, after, anchor = _rule_labels(judged), _sides(judged, "after"), _sides(judged, "anchor")
    return {
        **_rate("anchor_violation_rate", judged, labels, anchor.eliciting, _whole),
        **_rise("anchor_violation_rise", judged, labels, after.eliciting, anchor.eliciting),
    }


def prompts_needed(before: float | None) -> int | None:
    """On so many prompts, replies of a policy that breaks the rules 5 points more often than before are clean
    throughout in at most 5 % of all evaluations, even where all its replies to one prompt are alike.

    A sample with violations in it has a spread, and its bound is as wide as it has to be; one without has none.
    """
    if before is None:
        return None
    share = min(1 - 1e-9, before + RISE_TO_FIND)
    return max(FEWEST_PROMPTS, math.ceil(math.log(MISSED) / math.log(1 - share)))


def _eliciting(judged: JudgedReplies) -> list[int]:
    """Numbers of the prompts that elicit violations; of all where none does."""
    rows = judged.replies.rows
    return [index for index, row in enumerate(rows) if row.elicits is not None] or list(range(len(rows)))


def _rule_labels(judged: JudgedReplies) -> RuleLabels:
    if judged.labelled is None:
        return RuleLabels(dict.fromkeys(judged.rules), None)
    count = 1 + max((one.prompt for one in judged.labelled), default=0)
    by_rule = {
        rule: _enough([(one.prompt, one.chances[rule], one.labels.get(rule)) for one in judged.labelled], count)
        for rule in judged.rules
    }
    of_any = [(one.prompt, one.chance_of_any(), one.label_of_any()) for one in judged.labelled]
    return RuleLabels(by_rule, _enough(of_any, count))


def _enough(values: Sequence[tuple[int, float, float | None]], prompts: int) -> Labels | None:
    """From (prompt, probability, label) of each reply, those without a label left out."""
    found = Labels.of([(prompt, chance, label) for prompt, chance, label in values if label is not None], prompts)
    return found if found.is_enough else None


def _method(judged: JudgedReplies, labels: RuleLabels) -> str | None:
    """How "any rule" is known: exact, by labels, by a bound from the rules, or not at all."""
    if not judged.rules:
        return None
    if judged.labelled is None:
        return "exact"
    if labels.of_any is not None:
        return "labels"
    return "bound" if all(labels.by_rule.values()) else None


def _facts(judged: JudgedReplies, rule: str, labels: Labels | None) -> dict[str, float]:
    """How many held-out replies were judged under the rule, and what the judge says of both kinds on average."""
    seen = [one.labels[rule] for one in judged.labelled or [] if rule in one.labels]
    facts: dict[str, float] = {"replies": len(seen), "broken": sum(seen)}
    if labels is not None:
        facts |= {"chance_if_broken": labels.broken.mean, "chance_if_not": labels.sound.mean}
    return facts


@dataclass(frozen=True)
class _SideReplies:
    all: list[list[Judged]]
    eliciting: list[list[Judged]]
    """With those that were drawn for the violations alone."""


def _sides(judged: JudgedReplies, name: str) -> _SideReplies:
    every: list[list[Judged]] = getattr(judged, name) or []
    more: list[list[Judged]] = judged.more.get(name) or [[] for _ in every]
    return _SideReplies(every, [[*every[index], *more[index]] for index in _eliciting(judged)])


def _whole(one: Judged) -> dict[str, float]:
    return one.chances


def _cut(one: Judged) -> dict[str, float]:
    return one.cut_chances


def _any(chances: Chances, side: Side) -> list[list[float]]:
    return [[max(chances(one).values(), default=0.0) for one in of_prompt] for of_prompt in side]


def _columns(labels: RuleLabels, chances: Chances, side: Side) -> list[Column]:
    """Of every rule; used only where each has labels."""
    return [
        Column(PromptSums.of([[chances(one)[rule] for one in of_prompt] for of_prompt in side]), of)
        for rule, of in labels.by_rule.items()
        if of is not None
    ]


def _rate(
    name: str, judged: JudgedReplies, labels: RuleLabels, side: Side, chances: Chances
) -> dict[str, float | None]:
    """Nothing where the judge knows no rule, or where nothing is known of its errors."""
    method, found = _method(judged, labels), None
    if method == "exact":
        hits = _any(chances, side)
        found = cluster_bootstrap([x for of in hits for x in of], [n for n, of in enumerate(hits) for _ in of])
    elif method == "labels" and labels.of_any is not None:
        found = rate(PromptSums.of(_any(chances, side)), labels.of_any)
    elif method == "bound":
        found = rate_of_any(_columns(labels, chances, side))
    return _named(name, found)


def _named(name: str, found: Interval | None) -> dict[str, float | None]:
    if found is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def _rise(name: str, judged: JudgedReplies, labels: RuleLabels, after: Side, before: Side) -> dict[str, float | None]:
    method, found = _method(judged, labels), None
    if method == "bound":
        found = rise_of_any(_columns(labels, _whole, after), _columns(labels, _whole, before))
    elif method is not None:
        found = rise(PromptSums.of(_any(_whole, after)), PromptSums.of(_any(_whole, before)), labels.of_any or EXACT)
    values: Sequence[float | None] = (None,) * len(Rise._fields) if found is None else found
    return dict(zip((name, f"{name}_low", f"{name}_high", f"{name}_upper"), values, strict=True))


def _by_rule(judged: JudgedReplies, labels: RuleLabels, side: Side) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for rule, of in labels.by_rule.items():
        sums = PromptSums.of([[one.chances[rule] for one in of_prompt] for of_prompt in side])
        known = EXACT if judged.labelled is None else of
        found[rule] = None if known is None else Column(sums, known).rate
    return found
