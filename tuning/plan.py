"""What a job will do, cost and take, before it starts: as exact as it can be known then."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chat.models import Policy
from metering import prices
from rlhf.models import Run
from tuning import names, parameters
from tuning.models import FineTune

Scope = FineTune.Scope
RATE = 2.5e10
"""Parameters times tokens that one core trains in a second, all weights; measured on SmolLM2-135M."""
SHARE = {Scope.HEAD: 0.4, Scope.BLOCKS: 0.5, Scope.LORA: 0.8, Scope.FULL: 1.0}
"""Of that work, what a scope needs: a frozen body is only read."""
OVERHEAD_S = 60.0
"""Loading, comparing, writing the model."""
HOLD_OUT_SHARE, HOLD_OUT_MOST, HOLD_OUT_FROM = 0.1, 50, 10
"""Lines that are kept from training to compare on: none of a file with fewer than ten."""


@dataclass(frozen=True)
class Plan:
    rows: int
    """Lines that are trained on."""
    held_out: int
    tokens: int
    """Of those lines."""
    n_epochs: int
    cost: int
    """Nano-dollars."""
    seconds: float

    @property
    def trained_tokens(self) -> int:
        return self.tokens * self.n_epochs


def held_out(rows: int, *, has_validation: bool, holds_out: bool) -> int:
    """How many of the lines are kept for comparing."""
    if has_validation or not holds_out or rows < HOLD_OUT_FROM:
        return 0
    return min(HOLD_OUT_MOST, max(1, round(rows * HOLD_OUT_SHARE)))


def epochs_of(hyperparameters: Mapping[str, Any], rows: int, method: str) -> int:
    """As asked for; else few lines are read often, many seldom."""
    given = hyperparameters.get("n_epochs")
    return given if isinstance(given, int) else automatic_epochs(rows, method)


def automatic_epochs(rows: int, method: str) -> int:
    """As the training would choose (rlhf.training.tuning.config); said here, since the price depends on it."""
    if method == FineTune.Method.DPO:
        return min(max(round(600 / rows), 1), 4)
    return min(max(round(1600 / rows), 3), 15)


def automatic_batch(rows: int) -> int:
    return min(max(rows // 50, 1), 32)


def plan(model: str, policy: Policy, scope: str, *, rows: int, held_out: int, tokens: int, n_epochs: int) -> Plan:
    trained = tokens * n_epochs
    return Plan(
        rows=rows,
        held_out=held_out,
        tokens=tokens,
        n_epochs=n_epochs,
        cost=cost(model, policy, trained),
        seconds=seconds(policy, scope, trained),
    )


def cost(model: str, policy: Policy, trained_tokens: int) -> int:
    """Nano-dollars."""
    return prices.cost(prices.price_of(names.price_names(model, policy)), trained_tokens=trained_tokens)


def seconds(policy: Policy, scope: str, trained_tokens: int) -> float:
    """By what this site's own jobs of that kind took, once there are some."""
    rate = measured_rate(policy, scope)
    if rate is None:
        rate = RATE / (parameters.counts(policy)[Scope.FULL] * SHARE[Scope(scope)])
    return OVERHEAD_S + trained_tokens / rate


def measured_rate(policy: Policy, scope: str) -> float | None:
    """Tokens a second of the newest jobs from this policy; None without any."""
    jobs = FineTune.objects.filter(
        state=FineTune.State.SUCCEEDED, scope=scope, base_policy=policy, run__state=Run.State.SUCCEEDED
    ).select_related("run")[:3]
    rates = [rate for job in jobs if (rate := rate_of(job)) is not None]
    return sum(rates) / len(rates) if rates else None


def rate_of(job: FineTune) -> float | None:
    took = job.run.result.get("seconds") if job.run else None
    if not job.trained_tokens or not isinstance(took, int | float) or took <= OVERHEAD_S:
        return None
    return float(job.trained_tokens / (took - OVERHEAD_S))


def dollars(nano: int) -> str:
    """As an event says it: two digits, more where two would say nothing."""
    amount = prices.dollars(nano)
    if amount == 0 or amount >= prices.dollars(10_000_000):
        return f"${amount:.2f}"
    return f"${amount:f}".rstrip("0").rstrip(".")
