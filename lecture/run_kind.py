"""Handler of the lecture's runs for the supervisor of all runs (settings.RLHF_RUN_KINDS)."""

from collections.abc import Mapping
from typing import Any

from base import shared_state
from lecture import taught, teaching
from lecture.models import Lesson
from rlhf.models import Run
from rlhf.runs import leases
from rlhf.runs.stages import BadResult


def _lesson_of(run: Run) -> Lesson:
    lesson = Lesson.objects.filter(pk=run.config.get("lesson")).select_related("owner").first()
    if lesson is None:
        raise BadResult(f"run {run.pk} no longer belongs to a lesson")
    return lesson


def child_config(run: Run, threads: int) -> dict[str, Any]:
    lesson = _lesson_of(run)
    corpus = taught.directory(lesson, taught.CORPUS) if taught.CORPUS in lesson.taught_by else None
    return {
        "source": teaching.located(lesson),
        "title": lesson.source,
        "corpus": None if corpus is None else str(corpus),
        "families": run.config["families"],
        "minutes": run.config["minutes"],
        "output": str(taught.output_of(run)),
        "seed": run.config.get("seed", 0),
        "threads": threads,
    }


def collect(run: Run, result: Mapping[str, Any]) -> dict[str, Any]:
    """Idempotent: the parts that this run made, on the lesson's row."""
    lesson = _lesson_of(run)
    made = dict(result["families"])
    if taught.CORPUS not in lesson.taught_by:
        made[taught.CORPUS] = result["corpus"]
    for part in made:
        shared_state.publish(taught.output_of(run) / part)
    lesson.taught_by |= dict.fromkeys(made, run.pk)
    lesson.figures |= made
    lesson.save(update_fields=["taught_by", "figures"])
    return {}


def moved(run: Run) -> None:
    """Nothing follows a run of the lecture but its own page."""


def cancel(run: Run) -> bool:
    return leases.cancel(run)
