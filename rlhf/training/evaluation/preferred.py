"""How often the replies of one side are preferred to those of another, with the judge's own error where it errs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlhf.training.statistics import Interval, cluster_bootstrap, cluster_mean
from rlhf.training.statistics.calibration import Calibration, probabilities
from rlhf.training.statistics.intervals import Z95

Scores = Sequence[Sequence[float]]
"""Of the draws to each prompt."""


@dataclass(frozen=True)
class Preferred:
    """Pairs of like draws, by prompt."""

    differences: list[list[float]]
    """The score of the first reply less that of the second."""
    calibration: Calibration | None
    """None: whichever has the higher score is the better one, and equal scores are a tie."""

    @property
    def _prompts(self) -> list[int]:
        return [number for number, of_prompt in enumerate(self.differences) for _ in of_prompt]

    @property
    def flat(self) -> list[float]:
        return [difference for of_prompt in self.differences for difference in of_prompt]

    def values(self) -> list[list[float]]:
        """1 for a win, 1/2 for a tie, 0 for a loss; of a calibrated judge the chance that the first is preferred."""
        if self.calibration is None:
            return [[0.5 if x == 0 else float(x > 0) for x in of_prompt] for of_prompt in self.differences]
        slope = self.calibration.slope
        return [probabilities(np.asarray(of_prompt), slope).tolist() for of_prompt in self.differences]

    def interval(self) -> Interval:
        """By resampling prompts, and the comparisons by which the judge was calibrated."""
        if self.calibration is not None:
            return self.calibration.mean(self.flat, self._prompts)
        return cluster_bootstrap([value for of_prompt in self.values() for value in of_prompt], self._prompts)

    def judge_sd(self) -> float:
        """What the judge's error adds: a standard deviation."""
        return 0.0 if self.calibration is None else self.calibration.error_of_slope(self.flat)

    def se(self) -> float:
        """Over prompts, with the judge's error in quadrature."""
        values = [value for of_prompt in self.values() for value in of_prompt]
        return math.hypot(cluster_mean(values, self._prompts).se, self.judge_sd())

    def report(self, name: str) -> dict[str, float]:
        """With the standard error, from which the gate makes a bound at the level of its decision."""
        found = self.interval()
        made = {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high, f"{name}_se": self.se()}
        return made if self.calibration is None else made | {f"{name}_judge_sd": self.judge_sd()}

    def control(self) -> dict[str, float]:
        found = self.interval()
        return {"win_rate": found.value, "low": found.low, "high": found.high}


def margin(won: Preferred, control: Preferred, name: str) -> dict[str, Any]:
    """By how much one is preferred more often than the other, of the means on each prompt."""
    pairs = zip(won.values(), control.values(), strict=True)
    values = [sum(ours) / len(ours) - sum(theirs) / len(theirs) for ours, theirs in pairs]
    prompts = list(range(len(values)))
    mean, se, _ = cluster_mean(values, prompts)
    if won.calibration is None:
        mean, low, high = cluster_bootstrap(values, prompts)
    else:
        se = math.hypot(se, won.calibration.error_of_slope(won.flat, control.flat))
        low, high = mean - Z95 * se, mean + Z95 * se
    return {name: mean, f"{name}_low": low, f"{name}_high": high, f"{name}_se": se}
