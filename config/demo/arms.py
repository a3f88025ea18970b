"""The arms of the demo (all judgements, or a rule's flags alone): hyperparameters, and floors of the figures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rlhf.release.report_values import number_at

Report = Mapping[str, Any]
Value = float | None


@dataclass(frozen=True)
class FigureBound:
    """A bound on one figure, stated before the run. `is_apart`, where there is one, must hold as well."""

    name: str
    value: Callable[[Report], Value]
    limit: float
    is_least: bool = True
    is_apart: Callable[[Report], bool] | None = None

    def holds(self, result: Report) -> bool:
        value = self.value(result)
        if value is None:
            return False
        is_within = value >= self.limit if self.is_least else value <= self.limit
        return is_within and (self.is_apart is None or self.is_apart(result))

    def check(self, result: Report) -> dict[str, Any]:
        return {
            "name": self.name,
            "value": self.value(result),
            "limit": self.limit,
            "bound": "at least" if self.is_least else "at most",
            "is_apart": None if self.is_apart is None else self.is_apart(result),
            "holds": self.holds(result),
        }


@dataclass(frozen=True)
class Arm:
    """`hyperparameters` by stage, as a cycle takes them; tuned on the demo of seed 1."""

    name: str
    floors: tuple[FigureBound, ...]
    hyperparameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def check_floors(self, result: Report) -> list[dict[str, Any]]:
        return [floor.check(result) for floor in self.floors]


def _figure(*path: str) -> Callable[[Report], Value]:
    return lambda result: number_at(result, *path)


def _cut(name: str) -> Callable[[Report], Value]:
    """The rate before divided by the rate after; where none is left, the expected count before."""

    def found(result: Report) -> Value:
        report = result["evaluation"]
        before, after = report.get(f"{name}_before"), report.get(f"{name}_after")
        if before is None or after is None:
            return None
        return float(before / after) if after else float(before * report["violation_n_after"])

    return found


def _apart(name: str) -> Callable[[Report], bool]:
    """Whether the 95 % interval after lies wholly below that before."""

    def found(result: Report) -> bool:
        report = result["evaluation"]
        low, high = report.get(f"{name}_before_low"), report.get(f"{name}_after_high")
        return low is not None and high is not None and high < low

    return found


WHOLE, FIRST = "violation_rate", "first_sentence_violation_rate"
FLAG_AUC = FigureBound("flag AUC", _figure("reward_model", "flag_auc"), 0.85)
EMPTY = FigureBound("empty replies", _figure("evaluation", "empty_rate"), 0.02, is_least=False)
"""A row of one emoji breaks no rule and is no surprise to the base: a rule's flags alone were seen to teach that."""
EVERYTHING = Arm(
    "rankings and flags",
    (
        FigureBound("reward model accuracy", _figure("reward_model", "accuracy"), 0.60),
        FLAG_AUC,
        FigureBound("violations cut", _cut(WHOLE), 2.0, is_apart=_apart(WHOLE)),
        FigureBound("win rate", _figure("evaluation", "win_rate"), 0.65),
        FigureBound("stop-controlled lower bound", _figure("evaluation", "controls", "stop_controlled_low"), 0.45),
        FigureBound("KL", _figure("evaluation", "kl_nats"), 8.0, is_least=False),
        FigureBound("perplexity", _figure("evaluation", "perplexity_ratio"), 1.10, is_least=False),
        EMPTY,
    ),
)
RULE_ONLY = Arm(
    "the rule's flags alone",
    (
        FLAG_AUC,
        FigureBound("violations cut", _cut(WHOLE), 3.0, is_apart=_apart(WHOLE)),
        FigureBound("violations cut, first sentence", _cut(FIRST), 2.0, is_apart=_apart(FIRST)),
        FigureBound("KL", _figure("evaluation", "kl_nats"), 4.0, is_least=False),
        FigureBound("perplexity", _figure("evaluation", "perplexity_ratio"), 1.03, is_least=False),
        EMPTY,
    ),
    {
        "policy": {
            "score_weight": 0.0,  # no ranking
            "missing_eos_penalty": 0.0,  # no designer's wish
            "violation_weight": 8.0,
            "iterations": 30,
            "learning_rate": 4.5e-4,
            "target_kl": 3.3,
            "kl_gain": 2.5,
            "stop_kl": 4.0,  # the floor's own limit
        },
    },
)
