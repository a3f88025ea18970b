"""The figures of all models that were taught on a text, as rows for the page and the command."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lecture.models import Lesson
from lecture.teaching import NETWORKS


@dataclass(frozen=True)
class ModelFigures:
    """Of one model on the held-out text. None: infinite, for a token of it is impossible."""

    name: str
    perplexity: float | None
    bits_per_character: float | None
    impossible_share: float
    parameters: int
    bytes: int
    seconds: float


def rows(lesson: Lesson) -> list[ModelFigures]:
    """Of the models that predict the next token."""
    return [
        ModelFigures(name, **_fields(figures))
        for family in lesson.figures.values()
        for name, figures in family.get("models", {}).items()
        if "perplexity" in figures
    ]


def _fields(figures: dict[str, Any]) -> dict[str, Any]:
    names = [name for name in ModelFigures.__dataclass_fields__ if name != "name"]
    return {name: figures.get(name) for name in names}


def over_text(lesson: Lesson) -> list[dict[str, Any]]:
    """Kneser-Ney, n = 3, on growing shares of the text: share, tokens, perplexity."""
    found: list[dict[str, Any]] = lesson.figures.get("counting", {}).get("curve", [])
    return found


def over_seconds(lesson: Lesson) -> list[tuple[str, list[dict[str, Any]]]]:
    """Of each network that predicts the next word: seconds and perplexity on the beginning of the held-out text."""
    return [
        (family, found["over_seconds"])
        for family, found in lesson.figures.items()
        if family != "bert" and found.get("over_seconds")
    ]


def gaps(lesson: Lesson) -> dict[str, Any] | None:
    """How often BERT fills a gap of the held-out text right; None where it was not taught."""
    found: dict[str, Any] | None = lesson.figures.get("bert", {}).get("models", {}).get("bert")
    return None if found is None else {**found, "percent": 100 * found["gaps_right"]}


@dataclass(frozen=True)
class CountingOrComputing:
    """The best model that counts against the best network."""

    counting: ModelFigures
    network: ModelFigures | None

    @property
    def network_wins(self) -> bool:
        return (
            self.network is not None
            and self.network.perplexity is not None
            and self.counting.perplexity is not None
            and self.network.perplexity < self.counting.perplexity
        )


def verdict(lesson: Lesson) -> CountingOrComputing | None:
    """None where no model that counts gives every word a probability."""
    finite = sorted((row for row in rows(lesson) if row.perplexity is not None), key=lambda row: row.perplexity or 0)
    counting = next((row for row in finite if row.name not in NETWORKS), None)
    network = next((row for row in finite if row.name in NETWORKS), None)
    return None if counting is None else CountingOrComputing(counting, network)


def table(rows: Sequence[ModelFigures]) -> str:
    """For a terminal."""
    head = f"{'model':<14} {'perplexity':>10} {'bits/char':>9} {'impossible':>10} {'parameters':>11} {'seconds':>8}"
    return "\n".join([head, *map(_line, rows)])


def _line(row: ModelFigures) -> str:
    perplexity = "infinite" if row.perplexity is None else f"{row.perplexity:.1f}"
    bits = "-" if row.bits_per_character is None else f"{row.bits_per_character:.3f}"
    return (
        f"{row.name:<14} {perplexity:>10} {bits:>9} {100 * row.impossible_share:>8.1f} % "
        f"{row.parameters:>11,} {row.seconds:>8.1f}"
    )
