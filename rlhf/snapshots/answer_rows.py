"""Converts answers to the questions of projects to lines: replies that people wrote, and ratings of others' replies.

Answers about a rule are flags, and comparisons are rankings: both are lines of those (rlhf.snapshots.rows).
"""

from collections.abc import Iterator
from datetime import datetime

from django.db.models import QuerySet

from feedback import trainable
from feedback.judgements.rankings import dense
from feedback.models import Completion, TaskAnswer
from feedback.prompts import as_answered
from rlhf.snapshots import provenance
from rlhf.snapshots.fragments import are_whole
from rlhf.snapshots.frozen_row import FrozenRow, Line, origin_of_prompt

WROTE, CORRECTED = "demonstration", "correction"


def demonstration_rows(until: datetime) -> Iterator[FrozenRow[TaskAnswer]]:
    """TRL's conversational prompt-completion format, one line a reply that somebody wrote, corrected or brought from
    elsewhere; `original` is the reply that was corrected, else empty."""
    for row in _answers(until).filter(said__has_key="text"):
        original = next((one for one in row.task.completions.all() if one.pk == row.said.get("completion")), None)
        line = {
            "id": f"answer-{row.pk}",
            "prompt": as_answered(row.task),
            "completion": [{"role": "assistant", "content": row.said["text"]}],
            "original": original.text if original is not None else "",
            "source": row.said.get("source") or (CORRECTED if original is not None else WROTE),
            "policy": row.said.get("policy") or _policy_of(row, original),
            **_judged(row),
        }
        yield FrozenRow(row, line, origin_of_prompt(row.task.prompt))


def _policy_of(row: TaskAnswer, original: Completion | None) -> str:
    return provenance.policies(row.task, [original])[0] if original is not None else ""


def rating_rows(until: datetime) -> Iterator[FrozenRow[TaskAnswer]]:
    """One line an answer: its replies, each with what it was rated on each attribute, from 1 to 7."""
    for row in _answers(until).filter(said__has_key="ratings"):
        replies = [one for one in row.task.completions.all() if are_whole(one.finish_reason)]
        names = list(row.task.project.attributes)
        line = {
            "id": f"answer-{row.pk}",
            "prompt": as_answered(row.task),
            "completions": [{"text": one.text, "finish_reason": one.finish_reason} for one in replies],
            "attributes": names,
            "ratings": [[row.said["ratings"][str(one.pk)][name] for name in names] for one in replies],
            "policies": provenance.policies(row.task, replies),
            "shown": [[one.pk for one in replies].index(pk) for pk in row.shown_order if pk in _ids(replies)],
            **_judged(row),
        }
        if replies:
            yield FrozenRow(row, line, origin_of_prompt(row.task.prompt))


def _ids(replies: list[Completion]) -> set[int]:
    return {one.pk for one in replies}


def _answers(until: datetime) -> QuerySet[TaskAnswer]:
    related = (*provenance.JUDGED, *(f"task__{name}" for name in provenance.TASK))
    rows = trainable.answers().filter(created_at__lt=until).order_by("pk")
    return rows.select_related(*related).prefetch_related("task__completions")


def _judged(row: TaskAnswer) -> Line:
    return {
        "split": row.task.prompt.split,
        "weight": 1.0,
        "annotator": provenance.pseudonym(row.annotator),
        "simulated": row.is_simulated,
        **({"adjudicated": True} if row.is_adjudication else {}),
        **provenance.of_ranking(row),
    }


# --- the orders that follow from them ----------------------------------------------------------------


def order_of_rating(line: Line) -> Line | None:
    """A ranking's line: a reply that is rated higher on the first attribute is better. None of one reply alone."""
    if len(line["completions"]) < 2:
        return None
    first = {place: -float(rated[0]) for place, rated in enumerate(line["ratings"])}
    ranks = dense(first)
    kept = {name: value for name, value in line.items() if name not in ("attributes", "ratings")}
    return {**kept, "ranks": [ranks[str(place)] for place in first]}


def order_of_correction(line: Line) -> Line | None:
    """A ranking's line: what a reply should have been is better than what it was. None where nothing was changed."""
    text = line["completion"][0]["content"]
    if not line["original"] or text.strip() == line["original"].strip():
        return None
    kept = {name: value for name, value in line.items() if name not in ("completion", "original", "source", "policy")}
    replies = [{"text": one, "finish_reason": "stop"} for one in (text, line["original"])]
    return {**kept, "completions": replies, "ranks": [1, 2], "shown": [], "policies": ["", line["policy"]]}
