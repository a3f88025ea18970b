"""What people's blind comparisons of a candidate say, alone and together with the judge of its evaluation."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from feedback.judgements.blind_pairs import Answer
from rlhf.models import Evaluation
from rlhf.release.report_values import number
from rlhf.release.stored_rows import stored_rows
from rlhf.training.statistics import Z95, Interval, cluster_bootstrap

FEWEST_TO_COMBINE = 10
"""Below so many answers the difference between people and judge is not estimated, and the judge stands alone."""
PEOPLE = "people"
Reply = Mapping[str, Any]


def figures(evaluation: Evaluation, answers: Sequence[Answer], *, asked: int, closed: str) -> dict[str, Any]:
    """What the report holds of them: `people`, and `people_answers`, a line for each answer without a name."""
    lines = _lines(answers)
    decides = evaluation.run.config.get("decided_by") == PEOPLE
    won = by_people(lines)
    combined = None if decides else _combined(lines, stored_rows(evaluation, "replies"))
    people = {
        "n": len(lines),
        "people": len({line["person"] for line in lines}),
        "asked": asked,
        "simulated": sum(line["simulated"] for line in lines),
        "win_rate": won.value if lines else None,
        "low": won.low if lines else None,
        "high": won.high if lines else None,
        "decides": decides,
        "closed": closed,
        "combined": None
        if combined is None
        else {"win_rate": combined.value, "low": combined.low, "high": combined.high},
    }
    return {"people": people, "people_answers": lines}


def _lines(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """People as numbers, in the order of their first answers."""
    numbers = {person: index for index, person in enumerate(dict.fromkeys(answer.annotator for answer in answers), 1)}
    return [
        {
            "prompt": answer.prompt_number,
            "draw": answer.draw,
            "person": numbers[answer.annotator],
            "won": answer.won,
            "predicted": answer.predicted,
            "simulated": answer.is_simulated,
        }
        for answer in answers
    ]


def by_people(lines: Sequence[Reply]) -> Interval:
    """The share of comparisons that the candidate wins, ties one half. Answers of one person resemble each other, and
    so do answers to one prompt: of the intervals that resample the one or the other, the wider."""
    won = [float(line["won"]) for line in lines]
    return _wider(*(cluster_bootstrap(won, [line[key] for line in lines]) for key in ("person", "prompt")))


def _wider(one: Interval, other: Interval) -> Interval:
    return one if one.high - one.low > other.high - other.low else other


def _combined(lines: Sequence[Reply], rows: Sequence[Reply] | None) -> Interval | None:
    """None where too few answered, or the judge's scores are gone."""
    if len(lines) < FEWEST_TO_COMBINE or rows is None:
        return None
    seen = {line["prompt"] for line in lines}
    rest = [(prompt, won) for prompt, won in _judged_pairs(rows) if prompt not in seen]
    if not rest:
        return by_people(lines)
    truth, predicted = ([float(line[key]) for line in lines] for key in ("won", "predicted"))
    unlabelled, of_prompt = [won for _, won in rest], [prompt for prompt, _ in rest]
    return _wider(
        *(
            combine(truth, predicted, unlabelled, [line[key] for line in lines], of_prompt)
            for key in ("person", "prompt")
        )
    )


def _judged_pairs(rows: Sequence[Reply]) -> list[tuple[int, float]]:
    """(prompt, 1 where the judge prefers the candidate's reply, 1/2 for a tie) of each pair of like draws."""
    before = {(row["prompt"], row["draw"]): row["score"] for row in rows if row["side"] == "before"}
    found = []
    for row in rows:
        if row["side"] == "after" and row["competes"]:
            ours, theirs = row["score"], before[row["prompt"], row["draw"]]
            found.append((row["prompt"], 0.5 if ours == theirs else float(ours > theirs)))
    return found


def combine(
    truth: Sequence[float],
    predicted: Sequence[float],
    unlabelled: Sequence[float],
    clusters: Sequence[Hashable],
    unlabelled_clusters: Sequence[Hashable],
) -> Interval:
    """The mean of what people would say of all pairs: the judge's mean on the pairs that nobody judged, corrected by
    the mean difference between people and judge on the pairs that people judged, with the error of both.

    Prediction-powered inference (Angelopoulos et al. 2023, arXiv:2301.09633, section 2.1), by whole clusters.
    """
    corrections = [true - guess for true, guess in zip(truth, predicted, strict=True)]
    value = _mean(unlabelled) + _mean(corrections)
    variance = _variance_of_mean(unlabelled, unlabelled_clusters) + _variance_of_mean(corrections, clusters)
    half = Z95 * math.sqrt(variance)
    return Interval(value, max(0.0, value - half), min(1.0, value + half))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _variance_of_mean(values: Sequence[float], clusters: Sequence[Hashable]) -> float:
    """Of means over whole clusters, with the factor G / (G - 1) for few of them; unknown, so infinite, of one."""
    middle, sums = _mean(values), dict[Hashable, float]()
    for value, cluster in zip(values, clusters, strict=True):
        sums[cluster] = sums.get(cluster, 0.0) + value - middle
    if len(sums) < 2:
        return math.inf
    return len(sums) / (len(sums) - 1) * sum(part * part for part in sums.values()) / len(values) ** 2


def decisive(report: Reply) -> dict[str, Any]:
    """The win rate that the gate is asked about, where it is not the judge's alone: people's if they decide, else
    theirs and the judge's combined."""
    people = report.get("people")
    if not isinstance(people, dict):
        return {}
    found = people if people.get("decides") else people.get("combined")
    if not isinstance(found, dict):
        return {}
    value, low, high = (number(found.get(key)) for key in ("win_rate", "low", "high"))
    se = None if low is None or high is None else (high - low) / 2 / Z95
    return {"win_rate": value, "win_rate_low": low, "win_rate_high": high, "win_rate_se": se}
