"""The figures of one person, as they are stored and shown."""

from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class RuleFigures:
    """How a person flags by one rule, where others judged the same replies (statistics.dawid_skene)."""

    answers: int
    sensitivity: float
    specificity: float


@dataclass(frozen=True)
class PersonFigures:
    """None: too little is known."""

    judgements: int = 0
    shared: float = 0
    """Answers about pairs of replies that others judged, too; a ranking of K replies has K - 1 of weight."""
    accuracy: float | None = None
    """Expected share of right answers among these."""
    tau: float | None = None
    """Mean Kendall's tau-b with others' rankings of the same tasks."""
    gold_done: int = 0
    gold_needed: int = 0
    gold_score: float | None = None
    position: float | None = None
    """Share of choices on the place that is chosen most."""
    choices: int = 0
    seconds: float | None = None
    """Median of a ranking."""
    flagged: float | None = None
    """Share of what they were asked about that they flagged."""
    asked: int = 0
    rules: dict[str, RuleFigures] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Self:
        rules = {key: RuleFigures(**values) for key, values in stored.get("rules", {}).items()}
        return cls(**{**stored, "rules": rules})
