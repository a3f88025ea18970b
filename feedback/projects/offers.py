"""Which tasks of which projects a person is offered, and in which order.

A person is offered the tasks of the open projects of which they are a member, before the deadline, in their languages
there; annotators of the site those of its own stream, too. Blind comparisons that a cycle waits for come first, then
the project that the person chose, then the one whose deadline is nearest, and in it what is needed most
(feedback.projects.need), of that what was judged least.

A tenth of the assignments (`SHARE_BY_LOT`) does not go by need: the task is the one with the lowest of the lots that
were drawn when tasks were made. Judgements of these (`Ranking.is_by_lot`) are a random sample of what a project asks,
on which figures can be measured without the bias of whatever need means.
"""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime

from django.db.models import Q, QuerySet

from accounts.models import User
from feedback.judgements import assignments
from feedback.judgements.assignments import LOOKED_AT, left_lying
from feedback.judgements.languages import languages_of
from feedback.models import ComparisonRound, Project, ProjectChoice, ProjectMember, RankingTask
from feedback.projects import access

SHARE_BY_LOT = 0.1


def offered_to(person: User, now: datetime) -> Q:
    """Of ranking tasks: three queries before, and none for each project."""
    projects: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for together in _projects(person, now):
        for project, codes in together:
            projects[tuple(codes)].append(project)
    offered = Q(pk__in=[])
    for languages, ids in projects.items():
        offered |= Q(project__in=ids, prompt__language__in=languages)
    return offered


def goes_by_lot() -> bool:
    return random.random() < SHARE_BY_LOT


def in_turn(tasks: QuerySet[RankingTask], person: User, now: datetime, *, by_lot: bool) -> Iterator[list[int]]:
    """The first free ones of `tasks`, turn after turn: a turn is asked for once the one before gave nothing.

    Each is read from the index that has its order, however many tasks there are.
    """
    offered = [tasks.filter(one) for one in _blind(person, now)]
    yield from (list(rows.order_by("blind_pair__id").values_list("pk", flat=True)[:LOOKED_AT]) for rows in offered)
    lying = left_lying(now)
    order = ("lot",) if by_lot else ("need", "judgements")
    for together in _projects(person, now):
        found = [row for project, codes in together for row in _first(tasks, project, codes, order, lying)]
        yield [pk for _key, pk in sorted(found)[:LOOKED_AT]]


def _blind(person: User, now: datetime) -> list[Q]:
    """Of comparisons that a cycle waits for; nothing where none does."""
    if not ComparisonRound.objects.filter(closed_at=None).exists():
        return []
    free = Q(state=RankingTask.State.OPEN) | Q(pk__in=left_lying(now))
    return [Q(offered_to(person, now), free, blind_pair__isnull=False)]


def _first(
    tasks: QuerySet[RankingTask], project: int, codes: Sequence[str], by: Sequence[str], lying: Sequence[int]
) -> list[tuple[list[float], int]]:
    """(place in the order, id); what is needed more comes before."""
    own = tasks.filter(project=project, prompt__language__in=codes)
    columns = [f"-{name}" if name == "need" else name for name in by]
    rows = list(own.filter(state=RankingTask.State.OPEN).order_by(*columns, "id").values_list(*by, "pk")[:LOOKED_AT])
    if lying:
        rows += own.filter(pk__in=lying).values_list(*by, "pk")
    return [([-one if name == "need" else one for name, one in zip(by, row, strict=False)], row[-1]) for row in rows]


def _projects(person: User, now: datetime) -> list[list[tuple[int, list[str]]]]:
    """Those that are offered, with the languages to judge in: the chosen one, then by deadline; those with the same
    or none are in one list."""
    own = languages_of(person)
    rows = ProjectMember.objects.filter(person=person).select_related("project")
    offered = [(row.project, row.languages or own) for row in rows]
    if access.is_annotator_of_the_site(person):
        site = Project.objects.filter(key=Project.SITE)
        offered += [(project, own) for project in site]
    chosen = ProjectChoice.objects.filter(person=person).values_list("project", flat=True).first()
    turns: dict[tuple[bool, bool, float], list[tuple[int, list[str]]]] = defaultdict(list)
    for project, codes in offered:
        if project.state == Project.State.OPEN and (project.deadline is None or project.deadline > now):
            until = project.deadline.timestamp() if project.deadline is not None else 0.0
            turns[project.pk != chosen, project.deadline is None, until].append((project.pk, codes))
    return [turns[place] for place in sorted(turns)]


def choose(person: User, project: Project) -> None:
    """The project's tasks come first for this person from now on, and a task of another one of which nothing is said
    yet is given back."""
    ProjectChoice.objects.update_or_create(person=person, defaults={"project": project})
    if assignments.of(person).filter(draft={}).exclude(task__project=project).exists():
        assignments.release(person)
