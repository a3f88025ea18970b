"""What a person's judgements weigh, from 0 to 1, given their figures and what was found about them."""

from collections.abc import Collection

from feedback.models import AnnotatorTrust
from feedback.trust.figures import PersonFigures, RuleFigures
from feedback.trust.gold import GoldStanding

Reason = AnnotatorTrust.Reason
ACCURACY_CHANCE = 0.5
ACCURACY_FULL = 0.75
"""From here on a judgement weighs fully: two people who are right so often agree on 63 % of pairs, and trained ones
were found to agree on 63 to 77 % (Bai et al. 2022; Ouyang et al. 2022)."""
ACCURACY_FLOOR = 0.7
"""Below, somebody looks: the floor of gold tasks (reference: reliability, 3c)."""
SHARED_LEAST = 20
"""Answers that others gave, too, below which nothing is concluded from agreement."""
SHARED_FOR_FINDING = 30
RULE_ANSWERS_LEAST = 20
INFORMED_FULL = 0.5
"""Of sensitivity + specificity - 1, Youden's index, which is 0 for whoever flags without reading."""


def weight(
    figures: PersonFigures,
    gold: GoldStanding,
    *,
    open_kinds: Collection[str],
    discounted: bool,
    cleared: Collection[str],
) -> tuple[float, str]:
    """The weight and its reason. What a moderator has cleared is not held against the person."""
    if discounted:
        return 0.0, Reason.DISCOUNTED
    if open_kinds:
        return 0.0, Reason.FINDING
    if gold.is_missing:
        return 0.0, Reason.GOLD_MISSING
    if gold.is_low and "gold" not in cleared:
        return 0.0, Reason.GOLD_LOW
    by_accuracy = _of_accuracy(figures)
    return by_accuracy, Reason.ACCURACY if by_accuracy < 1 else Reason.UNKNOWN


def _of_accuracy(figures: PersonFigures) -> float:
    if figures.accuracy is None or figures.shared < SHARED_LEAST:
        return 1.0
    share = (figures.accuracy - ACCURACY_CHANCE) / (ACCURACY_FULL - ACCURACY_CHANCE)
    return round(min(1.0, max(0.0, share)), 6)


def of_rule(figures: RuleFigures | None) -> float:
    """By how much flags by one rule weigh less than the person's other judgements."""
    if figures is None or figures.answers < RULE_ANSWERS_LEAST:
        return 1.0
    informed = figures.sensitivity + figures.specificity - 1
    return round(min(1.0, max(0.0, informed / INFORMED_FULL)), 6)
