"""Checks the hyperparameters of a job; those left out, or `auto`, are chosen by the size of the data."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fine_tuning.errors import InvalidHyperparameter

AUTO = "auto"


@dataclass(frozen=True)
class Bounds:
    low: float
    high: float
    is_whole: bool = False

    def contains(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return False
        return self.low <= value <= self.high and (not self.is_whole or float(value).is_integer())

    def __str__(self) -> str:
        return f"{'a whole number' if self.is_whole else 'a number'} from {self.low:g} to {self.high:g}, or auto"


KNOWN: Mapping[str, Bounds] = {
    "n_epochs": Bounds(1, 50, is_whole=True),
    "batch_size": Bounds(1, 256, is_whole=True),
    "learning_rate_multiplier": Bounds(1e-4, 100),
    "prompt_loss_weight": Bounds(0, 1),
    "beta": Bounds(1e-3, 10),
}


def check(given: Mapping[str, Any], place: Callable[[str], str] = str) -> dict[str, Any]:
    """Those that are set. `place` gives the field's name in the request. Raises InvalidHyperparameter."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name not in KNOWN:
            raise InvalidHyperparameter(place(name), "one of " + ", ".join(KNOWN))
        if value is None or value == AUTO:
            continue
        if not KNOWN[name].contains(value):
            raise InvalidHyperparameter(place(name), str(KNOWN[name]))
        found[name] = int(value) if KNOWN[name].is_whole else float(value)
    return found
