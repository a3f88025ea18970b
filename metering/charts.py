"""Bar charts of a month, a bar for each day, as plain SVG that needs no style and no script."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from base import axis
from base.axis import Frame, Tick
from metering.bill import Sums
from metering.prices import NANO, format_cost

FRAME = Frame(left=62)
TICK_DAYS = (1, 8, 15, 22, 29)
MOST_ZEROS = 4
"""After the point of a label; the axis has room for no more."""
THOUSANDS = "{:,}".format
Count = Callable[[Sums], int]
PARTS: dict[str, tuple[str | Promise, Count]] = {
    "prompt": (_("prompt"), lambda sums: sums.prompt_tokens),
    "completion": (_("completion"), lambda sums: sums.completion_tokens),
    "trained": (_("trained"), lambda sums: sums.trained_tokens),
}
"""Parts of a bar of tokens, from the bottom up."""


@dataclass(frozen=True)
class Bar:
    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Chart:
    name: str
    title: str | Promise
    total: str
    """The sum of the month."""
    bars: list[Bar]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    legend: list[tuple[str, str | Promise]]
    frame: Frame = FRAME


def charts(days: Sequence[tuple[date, Sums]]) -> list[Chart]:
    """Costs, tokens and requests of each day."""
    return [
        _chart("cost", _("Cost"), days, {"cost": lambda sums: sums.cost}, format_cost, NANO),
        _chart("tokens", _("Tokens"), days, {kind: count for kind, (_word, count) in PARTS.items()}, THOUSANDS),
        _chart("requests", _("Requests"), days, {"requests": lambda sums: sums.requests}, THOUSANDS),
    ]


def _chart(
    name: str,
    title: str | Promise,
    days: Sequence[tuple[date, Sums]],
    parts: dict[str, Count],
    words_of: Callable[[int], str],
    least_high: int = 1,
) -> Chart:
    """`least_high`: the end of the axis where nothing was used."""
    sums = [sum(count(of_day) for count in parts.values()) for _day, of_day in days]
    ticks = axis.ticks(0, max(sums) or least_high, least=1)
    high = ticks[-1]
    day_width, height = (FRAME.right - FRAME.left) / len(days), FRAME.bottom - FRAME.top
    bars = []
    for number, (_day, of_day) in enumerate(days):
        below = 0
        for kind, count in parts.items():
            if value := count(of_day):
                below += value
                top = FRAME.bottom - height * below / high
                x, width = FRAME.left + day_width * (number + 0.1), 0.8 * day_width
                bars.append(Bar(kind, round(x, 2), round(top, 2), round(width, 2), round(height * value / high, 2)))
    return Chart(
        name=name,
        title=title,
        total=words_of(sum(sums)),
        bars=bars,
        x_ticks=[
            Tick(round(FRAME.left + day_width * (day - 0.5), 1), str(day)) for day in TICK_DAYS if day <= len(days)
        ],
        y_ticks=[
            Tick(round(FRAME.bottom - height * value / high, 2), shorten(words_of(round(value)))) for value in ticks
        ],
        legend=[(kind, PARTS[kind][0]) for kind in parts if kind in PARTS],
    )


def shorten(text: str) -> str:
    """Shortens a label for the y axis: 12M for 12,345,678, $0.000012 for $0.000012345, $5e-8 for $0.00000005."""
    if text.startswith("$"):
        return text if len(text) <= 8 else _cut(text)
    groups = text.split(",")
    return text if len(groups) < 3 else f"{','.join(groups[:-2])}M"


def _cut(cost: str) -> str:
    """Keeps two significant digits of less than a dollar, and no digits after the point of more."""
    dollars, _point, rest = cost.partition(".")
    if dollars != "$0":
        return dollars
    zeros = len(rest) - len(rest.lstrip("0"))
    if zeros > MOST_ZEROS:
        return f"${float(f'0.{rest}'):.0e}".replace("e-0", "e-")
    return f"{dollars}.{rest[: zeros + 2]}"
