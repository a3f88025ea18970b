"""How far a project is: its tasks and judgements, by language and by person, with as many queries for any number."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Sum

from feedback.models import Project, ProjectPrompt, Prompt, Ranking, RankingTask, TaskAnswer
from feedback.projects import adjudication, stock
from feedback.questions.kinds import KINDS

State = RankingTask.State


@dataclass(frozen=True)
class Tasks:
    """Those of a project, or of it in one language."""

    done: int = 0
    waiting: int = 0
    judgements: int = 0
    wanted: int = 0
    """Judgements of all tasks that there are."""
    unmade: int = 0
    """Prompts without a task so far."""

    @property
    def share_done(self) -> float:
        """Of the judgements, 0 to 1, those of tasks that are to be made not counted."""
        return self.judgements / self.wanted if self.wanted else 0.0


@dataclass(frozen=True)
class PersonProgress:
    person: int
    username: str
    judgements: int
    seconds: float
    """Median of their judgements."""


@dataclass(frozen=True)
class ProjectProgress:
    tasks: Tasks
    languages: list[tuple[str, Tasks]]
    people: list[PersonProgress]
    seconds: float
    held_out: int
    """Prompts of the project on which nothing is trained."""
    prompts: int
    disagreements: dict[str, int]
    """Tasks that wait for a lead, and that one has decided (feedback.projects.adjudication)."""


def of(project: Project) -> ProjectProgress:
    tasks, languages = _tasks(project)
    rows = list(
        _judgements(project)
        .order_by("annotator__username")
        .values_list("annotator", "annotator__username", "seconds")
    )
    sides = ProjectPrompt.objects.filter(project=project).aggregate(
        n=Count("pk"), held_out=Count("pk", filter=Q(prompt__split=Prompt.Split.HELD_OUT))
    )
    return ProjectProgress(
        tasks,
        languages,
        _people(rows),
        _median(row[2] for row in rows),
        sides["held_out"],
        sides["n"],
        adjudication.counts(project),
    )


def _judgements(project: Project) -> QuerySet[Any]:
    """Rankings or answers, as the project asks; without a lead's decisions."""
    rows = Ranking if KINDS[project.question].is_order else TaskAnswer
    return rows.objects.filter(task__project=project, withdrawn_at=None, is_adjudication=False)


def _people(rows: Iterable[tuple[int, str, float]]) -> list[PersonProgress]:
    seconds: dict[tuple[int, str], list[float]] = defaultdict(list)
    for person, username, taken in rows:
        seconds[person, username].append(taken)
    return [
        PersonProgress(person, username, len(taken), _median(taken)) for (person, username), taken in seconds.items()
    ]


def _median(values: Iterable[float]) -> float:
    listed = list(values)
    return statistics.median(listed) if listed else 0.0


def _tasks(project: Project) -> tuple[Tasks, list[tuple[str, Tasks]]]:
    """Withdrawn tasks count as none."""
    rows = (
        RankingTask.objects.filter(project=project)
        .exclude(state=State.WITHDRAWN)
        .order_by()
        .values(language=F("prompt__language"))
        .annotate(n=Count("pk"), done=Count("pk", filter=Q(state=State.DONE)), asked=Sum("overlap"))
    )
    made = {row["language"]: row for row in rows}
    given = _judged(project)
    unmade = _unmade(project)
    codes = sorted({*made, *unmade})
    languages = [(code, _of_language(made.get(code), given.get(code, 0), unmade.get(code, 0))) for code in codes]
    whole = Tasks(
        *(
            sum(getattr(one, name) for _code, one in languages)
            for name in ("done", "waiting", "judgements", "wanted", "unmade")
        )
    )
    return whole, languages


def _of_language(row: Mapping[str, Any] | None, given: int, unmade: int) -> Tasks:
    if row is None:
        return Tasks(judgements=given, unmade=unmade)
    return Tasks(row["done"], row["n"] - row["done"], given, row["asked"], unmade)


def _judged(project: Project) -> dict[str, int]:
    counted = _judgements(project).exclude(task__state=State.WITHDRAWN)
    rows = counted.order_by().values(language=F("task__prompt__language")).annotate(n=Count("pk"))
    return {row["language"]: row["n"] for row in rows}


def _unmade(project: Project) -> dict[str, int]:
    if project.is_site or project.replies in (Project.Replies.PASTED, Project.Replies.NONE):
        return {}
    rows = stock.next_prompts(project).order_by().values("language").annotate(n=Count("pk"))
    return {row["language"]: row["n"] for row in rows}
