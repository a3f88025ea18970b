"""A bar for each day of a month, as SVG that the server makes by attributes alone: no style, no script."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from base import axis
from metering.bill import Sums
from metering.prices import shown

WIDTH, HEIGHT = 320, 150
LEFT, RIGHT, TOP, BOTTOM = 62, 8, 8, 20
TICK_DAYS = (1, 8, 15, 22, 29)
Count = Callable[[Sums], int]
PARTS: dict[str, tuple[str | Promise, Count]] = {
    "prompt": (_("prompt"), lambda sums: sums.prompt_tokens),
    "completion": (_("completion"), lambda sums: sums.completion_tokens),
    "trained": (_("trained"), lambda sums: sums.trained_tokens),
}
"""Parts of a bar of tokens, from its foot upwards."""


@dataclass(frozen=True)
class Bar:
    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True)
class Chart:
    name: str
    title: str | Promise
    latest: str
    """The sum of the month."""
    bars: list[Bar]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    legend: list[tuple[str, str | Promise]]
    width: int = field(default=WIDTH)
    height: int = field(default=HEIGHT)

    @property
    def plot(self) -> dict[str, int]:
        return {"left": LEFT, "right": WIDTH - RIGHT, "top": TOP, "bottom": HEIGHT - BOTTOM}


def charts(days: Sequence[tuple[date, Sums]]) -> list[Chart]:
    """Costs, tokens and requests of each day."""
    return [
        _chart("cost", _("Cost"), days, {"cost": lambda sums: sums.cost}, shown),
        _chart("tokens", _("Tokens"), days, {kind: count for kind, (_word, count) in PARTS.items()}, _thousands),
        _chart("requests", _("Requests"), days, {"requests": lambda sums: sums.requests}, _thousands),
    ]


def _chart(
    name: str,
    title: str | Promise,
    days: Sequence[tuple[date, Sums]],
    parts: dict[str, Count],
    say: Callable[[int], str],
) -> Chart:
    sums = [sum(count(of_day) for count in parts.values()) for _day, of_day in days]
    heights = axis.ticks(0, max(*sums, 1), least=1)
    high = heights[-1]
    step, room = (WIDTH - LEFT - RIGHT) / len(days), HEIGHT - TOP - BOTTOM
    bars = []
    for number, (_day, of_day) in enumerate(days):
        below = 0
        for kind, count in parts.items():
            if value := count(of_day):
                below += value
                top = HEIGHT - BOTTOM - room * below / high
                x, width = LEFT + step * (number + 0.1), 0.8 * step
                bars.append(Bar(kind, round(x, 2), round(top, 2), round(width, 2), round(room * value / high, 2)))
    return Chart(
        name=name,
        title=title,
        latest=say(sum(sums)),
        bars=bars,
        x_ticks=[Tick(round(LEFT + step * (day - 0.5), 1), str(day)) for day in TICK_DAYS if day <= len(days)],
        y_ticks=[Tick(round(HEIGHT - BOTTOM - room * of / high, 2), brief(say(round(of)))) for of in heights],
        legend=[(kind, PARTS[kind][0]) for kind in parts if kind in PARTS],
    )


def _thousands(number: int) -> str:
    return f"{number:,}"


def brief(text: str) -> str:
    """Short enough to stand beside a plot: 12M for 12,345,678, $0.000012 for $0.000012345."""
    if text.startswith("$"):
        return text if len(text) <= 8 else _cut(text)
    groups = text.split(",")
    return text if len(groups) < 3 else f"{','.join(groups[:-2])}M"


def _cut(cost: str) -> str:
    """Two digits that mean something after the zeros, or none after the point of a large sum."""
    whole, _point, rest = cost.partition(".")
    if whole != "$0":
        return whole
    zeros = len(rest) - len(rest.lstrip("0"))
    return f"{whole}.{rest[: zeros + 2]}"
