"""Round numbers along an axis, for every chart of the site."""

import math

PARTS = 4
"""About so many intervals."""
SLACK = 1e-9
"""Of what floating point may be wrong."""


def ticks(low: float, high: float, least: float = 0.0) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten, at least `least` apart; `low` and `high` lie between the ends."""
    rough = max((high - low) / PARTS, least)
    power = 10.0 ** math.floor(math.log10(rough) + SLACK)
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= rough * (1 - SLACK))
    first, last = math.floor(low / step + SLACK), math.ceil(high / step - SLACK)
    return [number * step for number in range(first, last + 1)]


def label(value: float, ticks: list[float]) -> str:
    """With as many digits after the point as the ticks need to differ."""
    step = ticks[1] - ticks[0]
    digits = max(0, -math.floor(math.log10(step) + SLACK))
    text = f"{value:,.{digits}f}" if digits < 5 else f"{value:.1e}"
    return "0" if float(text.replace(",", "")) == 0 else text.replace("-", "−", 1)
