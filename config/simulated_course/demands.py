"""What is asked of a course: attackers are found, honest people are not, and what is learnt hardly suffers."""

from collections.abc import Iterator, Mapping
from typing import Any

from config.simulated_course.figures import LEAST_GAIN_KEPT
from config.simulated_course.people import ATTACKING, HONEST

FALSE_ALARMS = 0.05
"""Of honest people: one of the 24 in reliability's own simulation."""


def demands(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(_demands(result))


def _demands(result: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    found = result["found"]
    attacking = _counted(found, ATTACKING)
    yield _demand("every attacker weighs nothing", attacking[0] == attacking[1], f"{attacking[0]} of {attacking[1]}")
    honest = _counted(found, tuple(HONEST))
    is_rare = honest[0] <= max(1, FALSE_ALARMS * honest[1])
    yield _demand("at most one honest person in twenty weighs nothing", is_rare, f"{honest[0]} of {honest[1]}")
    learnt = result["learnt"]
    for measure, words in (("accuracy", "accuracy above chance"), ("reward_of_chosen", "reward of the chosen reply")):
        kept = learnt["kept"]["weighted"][measure]
        yield _demand(f"attackers cost less than a tenth of the {words}", kept > LEAST_GAIN_KEPT, f"{kept:.3f} kept")
        ours, theirs = learnt["weighted"][measure], learnt["raw"][measure]
        yield _demand(f"weighted judgements beat raw ones: {words}", ours > theirs, f"{ours:.4f} and {theirs:.4f}")


def _demand(name: str, is_met: bool, figure: str) -> dict[str, Any]:
    return {"name": name, "is_met": is_met, "figure": figure}


def _counted(found: Mapping[str, Mapping[str, int]], qualities: tuple[str, ...]) -> tuple[int, int]:
    """(who weigh nothing, all)"""
    rows = [found[quality] for quality in qualities if quality in found]
    return sum(row["weigh_nothing"] for row in rows), sum(row["people"] for row in rows)
