"""What people's blind comparisons of a candidate say, alone and together with the judge of its evaluation."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from feedback.judgements.blind_pairs import Answer
from rlhf.models import Evaluation
from rlhf.release.report_values import number
from rlhf.release.stored_rows import stored_rows
from rlhf.training.statistics import Z95, Interval, cluster_bootstrap, ppi_mean, wider

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
        **(_told(won) if lines else dict.fromkeys(("win_rate", "low", "high", "se"))),
        "decides": decides,
        "closed": closed,
        "combined": None if combined is None else _told(combined),
    }
    return {"people": people, "people_answers": lines}


def _told(found: Interval) -> dict[str, float]:
    """Bounds as people read them, and the standard error, from which the gate makes a bound of its own."""
    return {
        "win_rate": found.value,
        "low": max(0.0, found.low),
        "high": min(1.0, found.high),
        "se": (found.high - found.low) / 2 / Z95,
    }


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
    return wider(*(cluster_bootstrap(won, [line[key] for line in lines]) for key in ("person", "prompt")))


def _combined(lines: Sequence[Reply], rows: Sequence[Reply] | None) -> Interval | None:
    """None where too few answered, or the judge's scores are gone."""
    if len(lines) < FEWEST_TO_COMBINE or rows is None:
        return None
    seen = {line["prompt"] for line in lines}
    rest = [(prompt, won) for prompt, won in _judged_pairs(rows) if prompt not in seen]
    if not rest:
        return by_people(lines)
    truth, predicted = ([float(line[key]) for line in lines] for key in ("won", "predicted"))
    unlabelled, of_prompt = [won for _, won in rest], [("prompt", prompt) for prompt, _ in rest]
    by_person, by_prompt = (
        ppi_mean(truth, predicted, unlabelled, [(key, line[key]) for line in lines], of_prompt)
        for key in ("person", "prompt")
    )
    if math.isinf(by_person.low) or math.isinf(by_prompt.low):  # how much people, or prompts, differ is not known
        return Interval(fmean(truth), 0.0, 1.0)
    return wider(by_person, by_prompt)


def _judged_pairs(rows: Sequence[Reply]) -> list[tuple[int, float]]:
    """(prompt, 1 where the judge prefers the candidate's reply, 1/2 for a tie) of each pair of like draws."""
    before = {(row["prompt"], row["draw"]): row["score"] for row in rows if row["side"] == "before"}
    found = []
    for row in rows:
        if row["side"] == "after" and row["competes"]:
            ours, theirs = row["score"], before[row["prompt"], row["draw"]]
            found.append((row["prompt"], 0.5 if ours == theirs else float(ours > theirs)))
    return found


def decisive(report: Reply) -> dict[str, Any]:
    """The win rate that the gate is asked about, where it is not the judge's alone: people's if they decide, else
    theirs and the judge's combined."""
    people = report.get("people")
    if not isinstance(people, dict):
        return {}
    found = people if people.get("decides") else people.get("combined")
    if not isinstance(found, dict):
        return {}
    told = {"win_rate": "win_rate", "win_rate_low": "low", "win_rate_high": "high", "win_rate_se": "se"}
    return {name: number(found.get(key)) for name, key in told.items()}
