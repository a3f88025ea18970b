"""Plans a job before it starts: epochs, batch size, held-out rows, cost and expected time."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from base import own_llama
from chat import policies
from chat.models import Policy
from fine_tuning import model_names
from fine_tuning.errors import OnlyAdapters
from fine_tuning.jobs import parameter_counts
from fine_tuning.models import FineTune
from metering import prices
from rlhf.models import Run

Scope = FineTune.Scope
RATE = 2.5e10
"""Parameters times tokens that one core trains in a second, all weights; measured on SmolLM2-135M."""
SHARE = {Scope.HEAD: 0.4, Scope.BLOCKS: 0.5, Scope.LORA: 0.8, Scope.FULL: 1.0}
"""The share of that work that a scope needs: frozen layers have no backward pass."""
SCOPES: Mapping[str, tuple[str, ...]] = {
    FineTune.Method.SUPERVISED: tuple(Scope),
    FineTune.Method.DPO: tuple(Scope),
    FineTune.Method.REINFORCEMENT: (Scope.LORA,),
}
"""The scopes of each method: PPO trains adapters only. Of many models nothing else can be (`refuse_scope`)."""
WRITTEN_SHARE = 0.9
"""The same for reinforcement, by the token of a rollout that is generated, scored and trained on."""
REPLIES, REPLY_TOKENS = 4, 48
"""In reinforcement: replies for each prompt, and the longest of them (rlhf.training.ppo.config)."""
PROMPTS_READ, PROMPTS_AT_ONCE = 384, 16
"""In reinforcement: all prompts where the number of epochs is left open, and the prompts of a step."""
OVERHEAD_S = 60.0
"""Loading, comparing and writing the model."""
HOLD_OUT_SHARE, HOLD_OUT_MOST, HOLD_OUT_FROM = 0.1, 50, 10
"""Lines that are held out to compare on: none of a file with fewer than ten."""


def refuse_scope(policy: Policy, scope: str) -> None:
    """Raises OnlyAdapters where the training would not compute the model's own weights, and BadPolicy."""
    found = own_llama.obstacle(policies.configuration(policy)) if scope != Scope.LORA else None
    if found is not None:
        raise OnlyAdapters(policy.label or policy.name, *found)


def scopes_of(policy: Policy, method: str) -> tuple[str, ...]:
    """What of this model can be trained. Raises BadPolicy."""
    is_ours = own_llama.obstacle(policies.configuration(policy)) is None
    return SCOPES[method] if is_ours else (Scope.LORA,)


@dataclass(frozen=True)
class Workload:
    """What decides how much a job computes."""

    method: str
    scope: str
    rows: int
    """Lines that are trained on."""
    held_out: int
    tokens: int
    """Of those lines."""
    n_epochs: int
    batch_size: int

    @property
    def replies(self) -> int:
        """Generated during training: none except in reinforcement."""
        if self.method != FineTune.Method.REINFORCEMENT:
            return 0
        at_once = min(self.batch_size, self.rows)
        return math.ceil(self.n_epochs * self.rows / at_once) * at_once * REPLIES

    @property
    def trained_tokens(self) -> int:
        """What is billed; in reinforcement an upper bound."""
        return self.replies * REPLY_TOKENS or self.tokens * self.n_epochs


@dataclass(frozen=True)
class JobPlan:
    workload: Workload
    cost: int
    """Nano-dollars."""
    seconds: float

    @property
    def cost_text(self) -> str:
        """In reinforcement only an upper bound is known: how long replies may get."""
        return f"at most {dollars(self.cost)}" if self.workload.replies else dollars(self.cost)


def held_out_count(rows: int, *, has_validation: bool, holds_out: bool) -> int:
    """How many of the lines are held out."""
    if has_validation or not holds_out or rows < HOLD_OUT_FROM:
        return 0
    return min(HOLD_OUT_MOST, max(1, round(rows * HOLD_OUT_SHARE)))


def epochs_of(hyperparameters: Mapping[str, Any], rows: int, method: str) -> int:
    """As asked for; else more epochs for fewer lines."""
    given = hyperparameters.get("n_epochs")
    return given if isinstance(given, int) else automatic_epochs(rows, method)


def automatic_epochs(rows: int, method: str) -> int:
    """As the training would choose (rlhf.training.fine_tuning.config); needed here, since the price depends on it."""
    if method == FineTune.Method.DPO:
        return min(max(round(600 / rows), 1), 4)
    if method == FineTune.Method.REINFORCEMENT:
        return min(max(round(PROMPTS_READ / rows), 1), 15)
    return min(max(round(1600 / rows), 3), 15)


def batch_of(hyperparameters: Mapping[str, Any], rows: int, method: str) -> int:
    """As asked for; else as the training would choose."""
    given = hyperparameters.get("batch_size")
    return given if isinstance(given, int) else automatic_batch(rows, method)


def automatic_batch(rows: int, method: str) -> int:
    if method == FineTune.Method.REINFORCEMENT:
        return min(PROMPTS_AT_ONCE, max(rows, 1))
    return min(max(rows // 50, 1), 32)


def plan(model: str, policy: Policy, workload: Workload) -> JobPlan:
    cost = cost_of_tokens(model, policy, workload.trained_tokens)
    return JobPlan(workload, cost, _expected_seconds(policy, workload))


def workload_of(job: FineTune) -> Workload:
    """Of a job whose tokens were counted."""
    return Workload(
        method=job.method,
        scope=job.scope,
        rows=job.chosen["rows"],
        held_out=job.chosen["held_out"],
        tokens=job.tokens,
        n_epochs=job.chosen["n_epochs"],
        batch_size=job.chosen["batch_size"],
    )


def cost_of_tokens(model: str, policy: Policy, trained_tokens: int) -> int:
    """Nano-dollars."""
    return prices.cost(prices.price_of(model_names.price_names(model, policy)), trained_tokens=trained_tokens)


def _expected_seconds(policy: Policy, workload: Workload) -> float:
    """By the speed of this site's own jobs of that kind, once there are some."""
    rate = _measured_rate(policy, workload.method, workload.scope)
    if rate is None:
        share = WRITTEN_SHARE if workload.replies else SHARE[Scope(workload.scope)]
        rate = RATE / (parameter_counts.counts(policy)[Scope.FULL] * share)
    return OVERHEAD_S + workload.trained_tokens / rate


def _measured_rate(policy: Policy, method: str, scope: str) -> float | None:
    """Tokens a second of the newest jobs from this policy; None without any."""
    done = FineTune.objects.filter(state=FineTune.State.SUCCEEDED, run__state=Run.State.SUCCEEDED)
    jobs = done.filter(method=method, scope=scope, base_policy=policy).select_related("run")[:3]
    rates = [rate for job in jobs if (rate := _rate_of(job)) is not None]
    return sum(rates) / len(rates) if rates else None


def _rate_of(job: FineTune) -> float | None:
    took = job.run.result.get("seconds") if job.run else None
    if not job.trained_tokens or not isinstance(took, int | float) or took <= OVERHEAD_S:
        return None
    return float(job.trained_tokens / (took - OVERHEAD_S))


def dollars(nano: int) -> str:
    """With two decimals, or more where two would show zero."""
    amount = prices.dollars(nano)
    if amount == 0 or amount >= prices.dollars(10_000_000):
        return f"${amount:.2f}"
    return f"${amount:f}".rstrip("0").rstrip(".")
