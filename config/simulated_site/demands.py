"""What is asked of many cycles: gold reward holds, the end is not far from the base, no promotion lost against it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

Cycle = Mapping[str, Any]
BOUNDS = {
    "kl_nats": ("anchor_kl_nats_max", "KL from the base"),
    "length_ratio": ("length_ratio_max", "length"),
    "perplexity_ratio": ("perplexity_ratio_max", "perplexity"),
}
"""Figures of an evaluation that say how far a policy is from the base, and the gate's limits of them."""


@dataclass(frozen=True)
class CyclesDemand:
    """`is_met` is None where no cycle was promoted, so that nothing can be said."""

    name: str
    is_met: bool | None
    figures: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def demands(cycles: Sequence[Cycle], limits: Mapping[str, float]) -> list[CyclesDemand]:
    """`limits`: those of the gate."""
    measured = (cycle for cycle in cycles if cycle["gold"].get("change"))  # a file of an older version has none
    promoted = [cycle for cycle in measured if cycle["promoted"]]
    return [_holds(promoted), _is_near(promoted, limits), _none_lost(promoted)]


def _holds(promoted: Sequence[Cycle]) -> CyclesDemand:
    """A fall counts once its whole interval lies below 0: once it is more than chance. A refusal changes nothing."""
    name = "gold reward rises or holds in each cycle"
    return CyclesDemand(name, _never_falls(promoted, "reward"), tuple(_changes(promoted, "reward")))


def _none_lost(promoted: Sequence[Cycle]) -> CyclesDemand:
    name = "no promoted cycle made the comparison with the base worse"
    return CyclesDemand(
        name, _never_falls(promoted, "wins_against_base"), tuple(_changes(promoted, "wins_against_base"))
    )


def _never_falls(promoted: Sequence[Cycle], figure: str) -> bool | None:
    return all(cycle["gold"]["change"][figure]["high"] >= 0 for cycle in promoted) if promoted else None


def _changes(promoted: Sequence[Cycle], figure: str) -> Iterator[str]:
    for cycle in promoted:
        change = cycle["gold"]["change"][figure]
        word = "rises" if change["low"] > 0 else "falls" if change["high"] < 0 else "holds"
        yield f"cycle {cycle['cycle']} {word} {change['value']:+.2f} [{change['low']:+.2f}, {change['high']:+.2f}]"


def _is_near(promoted: Sequence[Cycle], limits: Mapping[str, float]) -> CyclesDemand:
    """Of the policy that is live at the end, by its own evaluation."""
    name = "drift from the base is within the gate's bounds at the end"
    if not promoted:
        return CyclesDemand(name, None, ())
    last, within, figures = promoted[-1], [], []
    for figure, (limit, words) in BOUNDS.items():
        value = last.get(f"anchor_{figure}")
        value = last.get(figure) if value is None else value  # the first cycle starts from the base
        within.append(value is not None and value <= limits[limit])
        figures.append(f"{words} {'-' if value is None else f'{value:.2f}'}, at most {limits[limit]:g}")
    return CyclesDemand(name, all(within), tuple(figures))
