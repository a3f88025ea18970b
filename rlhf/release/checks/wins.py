"""Whether the candidate's replies are preferred to those of the live policy, and by more than their length.

That they are is claimed at the level of this decision among all of the site's (rlhf.release.error_budget).
"""

from collections.abc import Iterator
from dataclasses import replace

from rlhf.release.bounds import lower_bound
from rlhf.release.checks.reason import Reason, Report, Thresholds, above, at_least, measured
from rlhf.release.report_values import number, number_at

EVEN = 0.5
MOST_PROMPTS = 10**9


def check(candidate: Report, live: Report | None, t: Thresholds) -> Iterator[Reason]:
    level = number(candidate.get("level"))
    won = _bound(candidate, level, ("win_rate",), ("win_rate_se",))
    yield measured(
        above("win_rate", "lower bound of the win rate", won, t["win_rate_low_min"]), candidate, "win_rate"
    )
    yield at_least("prompts", "held-out prompts", candidate.get("prompts"), t["prompts_min"])
    cut = number_at(candidate, "controls", "stop_controlled", "low")
    text = "lower bound of the win rate with both sides cut to the first sentence"
    yield _with_content(at_least("stop_controlled", text, cut, t["stop_controlled_low_min"]), candidate)
    yield _beyond_length(candidate, None if level is None else level / 2, t["first_sentence_margin_min"])


def _beyond_length(candidate: Report, level: float | None, margin_min: float) -> Reason:
    """A cut after the first sentence wins, too, where short replies are liked. So the candidate must win by more than
    such a cut, or its first sentences alone must win: either shows that it learned more than to stop.

    Two chances, so each is taken at half the level.
    """
    content = "controls", "stop_controlled"
    cut = _bound(candidate, level, (*content, "win_rate"), (*content, "se"))
    if cut is not None and cut > EVEN:
        text = "lower bound of the win rate of the first sentences alone"
        return _with_content(above("first_sentence", text, cut, EVEN), candidate)
    name = "first_sentence_margin"
    margin = _bound(candidate, level, (name,), (f"{name}_se",), worst=-1.0)
    text = "lower bound of the win rate less that of the replies before, cut after the first sentence"
    return measured(above("first_sentence", text, margin, margin_min), candidate, name)


def _with_content(reason: Reason, candidate: Report) -> Reason:
    value, low, high = (
        number_at(candidate, "controls", "stop_controlled", key) for key in ("win_rate", "low", "high")
    )
    return replace(reason, estimate=value, low=low, high=high)


def _bound(
    candidate: Report, level: float | None, value: tuple[str, ...], error: tuple[str, ...], worst: float = 0.0
) -> float | None:
    """None where a figure is missing or cannot be one."""
    mean, se, prompts = number_at(candidate, *value), number_at(candidate, *error), number(candidate.get("prompts"))
    if mean is None or se is None or prompts is None or level is None:
        return None
    if not (worst <= mean <= 1 and 0 <= se <= 1 and MOST_PROMPTS >= prompts >= 2 and 0 < level < EVEN):
        return None
    return lower_bound(mean, se, int(prompts), level, worst)
