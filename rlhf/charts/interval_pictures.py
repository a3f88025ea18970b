"""Small pictures of an estimate with its interval against a limit, as data for an SVG without style or script."""

from dataclasses import dataclass

WIDTH, HEIGHT = 120, 18
MARGIN = 6
ROOM = 0.15
"""Beyond the outermost of the values, as a share of the distance between them. Zero is always in the picture, so
that a dot half as far as the limit is half as much."""


@dataclass(frozen=True)
class IntervalPicture:
    """Places along the x axis, in the units of the SVG."""

    dot: float
    limit: float
    low: float | None
    """The ends of the interval; None where there is none."""
    high: float | None
    allowed_from: float
    """The side of the limit on which the condition holds."""
    allowed_width: float
    width: int = WIDTH
    height: int = HEIGHT


def picture(
    estimate: float, limit: float, sign: str, low: float | None = None, high: float | None = None
) -> IntervalPicture:
    """`sign` says on which side of the limit the condition holds: > and ≥ to its right, anything else to its left."""
    values = [estimate, limit, *(value for value in (low, high) if value is not None)]
    least, most = min(0.0, *values), max(0.0, *values)
    room = (most - least) * ROOM or 1.0
    first, last = least - room if least < 0 else 0.0, most + room if most > 0 or least == 0 else 0.0

    def x(value: float) -> float:
        return round(MARGIN + (value - first) / (last - first) * (WIDTH - 2 * MARGIN), 1)

    from_limit = sign in (">", "≥")
    start, end = (x(limit), WIDTH) if from_limit else (0.0, x(limit))
    has_interval = low is not None and high is not None
    return IntervalPicture(
        dot=x(estimate),
        limit=x(limit),
        low=x(low) if low is not None and has_interval else None,
        high=x(high) if high is not None and has_interval else None,
        allowed_from=start,
        allowed_width=round(end - start, 1),
    )
