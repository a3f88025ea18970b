"""Reads numbers out of evaluation reports and run results, in which any value may be missing or not finite."""

import math
from collections.abc import Mapping
from typing import Any


def number(value: Any) -> float | None:
    """The value as a finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def number_at(report: Mapping[str, Any], *path: str) -> float | None:
    """The number under nested keys, or None where a key is missing."""
    value: Any = report
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return number(value)
