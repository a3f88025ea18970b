"""The KL controller: smooths the KL's level and trend over iterations and sets beta by them.

The KL is smoothed by Holt's linear method (Hyndman and Athanasopoulos, Forecasting: Principles and Practice, section
8.2) instead of a plain average: of a KL that climbs by a nat an iteration an average of like weight stands a nat too
low, while Holt's level follows a straight climb without lag and has two thirds of the spread of a single rollout's.

Beta is a function of the forecast alone: exponential in its error relative to the target, clipped. Ziegler et al.,
arXiv:1909.08593, section 2.2, multiply beta by such a factor again and again; with a rollout's delay that integral
was seen to go on rising for iterations after the KL had turned (beta 0.8 at KL 5 and sinking, 6.5 at a larger gain).
Without it the KL settles somewhat above the target, where the brake balances what there is to be gained.

With `kl_controller` "integral" a bounded one is added, which takes the KL to the target: a sum in the exponent, so
that it acts beside the proportional term and not through it. It is kept from winding up (conditional integration,
Astrom and Hagglund, PID Controllers, 1995): it does not rise while beta is at its bound, nor while the smoothed KL
falls fast enough to be at the target soon, and it stays within 0 to 1; below the target the proportional term is
negative and lets go at once.

Errors are relative to `scale`, by default the target. A run that goes on from an adapter has a target above its
starting KL; the scale then stays that of a run from the base, so that a nat too much is braked alike.
"""

import math
from dataclasses import dataclass

LEVEL_SHARE = 0.5  # of a new measurement in the level
TREND_SHARE = 0.3  # of the level's last step in the trend
HORIZON = 1  # iterations ahead: what the update at hand does is seen in the next rollout
SOON = 3  # iterations


@dataclass
class KlBrake:
    """Of one run; level and trend go to the checkpoint."""

    level: float = 0.0  # nats a completion: the smoothed KL
    trend: float = 0.0  # nats an iteration
    integral: float = 0.0  # share of the gain, 0..1

    def update(self, kl_nats: float) -> None:
        """Update with a rollout's KL. The first is an untrained adapter's: KL 0, no trend, like the defaults; a run
        that goes on sets the level before."""
        before = self.level
        self.level = LEVEL_SHARE * kl_nats + (1 - LEVEL_SHARE) * (before + self.trend)
        self.trend = TREND_SHARE * (self.level - before) + (1 - TREND_SHARE) * self.trend

    @property
    def forecast(self) -> float:
        return self.level + HORIZON * self.trend

    def is_past(self, stop: float) -> bool:
        """Of the smoothed KL: a single rollout's was seen off by a nat, which would end a run needlessly."""
        return self.level > stop

    def integrate(self, *, target: float, share: float, scale: float | None = None) -> None:
        """Take up `share` of the error of the level, once a rollout after `update`."""
        error = (self.level - target) / (scale or target)
        is_saturated = (self.forecast - target) / (scale or target) + self.integral >= 1
        is_on_its_way = self.level + SOON * self.trend < target
        if error <= 0 or not (is_saturated or is_on_its_way):
            self.integral = min(max(self.integral + share * error, 0.0), 1.0)

    def beta(self, *, base: float, target: float, gain: float, scale: float | None = None) -> float:
        """`base` up to the target and never less, `base` times e^gain one scale above it and never more; with an
        integral, as much above what the error alone asks for as has built up."""
        excess = min(max((self.forecast - target) / (scale or target) + self.integral, 0.0), 1.0)
        return base * math.exp(gain * excess)
