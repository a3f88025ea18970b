"""A course from its file to its judgements, by the functions that a course of people uses, through the same queue."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import combinations
from pathlib import Path

from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import User
from accounts.roles import Role
from config.simulated_course.people import RULE, TASTE, CourseJudge, CoursePerson, spreads
from config.simulated_course.texts import CourseItem
from feedback import seed
from feedback.judgements import reading_time, task_queue
from feedback.judgements.judgement import Judgement
from feedback.models import Assignment, Project, RankingTask, Rule
from feedback.projects import people as members
from feedback.projects import prompt_files, setting_up
from feedback.projects.setting_up import ProjectPlan
from feedback.simulated.annotator import tied_ranks
from feedback.trust import gold

KEY = "simulated-course"
PACE = (1.2, 4.0)
"""An answer takes so many times as long as its texts take to be read at the fastest."""
MEMBER_SINCE = timedelta(days=30)
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class CoursePlan:
    """What was asked for."""

    people: int
    items: int
    overlap: int
    replies: int
    gold: int
    """Items whose answer is known."""
    seed: int


def set_up(plan: CoursePlan, home: Path, course: Sequence[CoursePerson], items: Sequence[CourseItem]) -> Project:
    """The project, imported from a file in `home`, with its people and the known answers."""
    seed.load()
    path = home / "simulated-course.jsonl"
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in _lines(items)))
    lead = _account("simulated-lead", Role.ADMIN)
    for person in course:
        _account(person.name, None)
    lines = prompt_files.read(path.read_text(), "jsonl", replies=(plan.replies, plan.replies))
    project_plan = ProjectPlan(
        KEY,
        "Simulated course",
        replies=Project.Replies.PASTED,
        completions_per_task=plan.replies,
        overlap=plan.overlap,
        prompts=lines,
        people=members.read("".join(f"{person.name},annotator,en\n" for person in course)),
    )
    made, _stored = setting_up.create(project_plan, by=lead)
    _set_known(made, plan.gold, lead)
    return made


def _lines(items: Sequence[CourseItem]) -> Iterator[dict[str, object]]:
    for item in items:
        yield {"prompt": item.prompt, "replies": list(item.replies), "language": "en", "side": "train"}


def _account(name: str, role: Role | None) -> User:
    """A program that nobody can sign in with; a member for long, as most people of a course are."""
    made = User(username=name, is_simulated=True, date_joined=timezone.now() - MEMBER_SINCE)
    made.set_unusable_password()
    made.save()
    if role is not None:
        made.groups.add(Group.objects.get_or_create(name=role.value)[0])
    return made


def _set_known(project: Project, count: int, lead: User) -> None:
    """By the hidden taste: the lead knows what is right."""
    for task in _with_texts(project.tasks.order_by("pk"))[:count]:
        replies = list(task.completions.all())
        ranks = tied_ranks([TASTE(asked(task), reply.text) for reply in replies], 0.0)
        if len(set(ranks)) > 1:
            gold.set_answer(task, [(one.pk, rank) for one, rank in zip(replies, ranks, strict=True)], {}, actor=lead)


def _with_texts(tasks: QuerySet[RankingTask]) -> QuerySet[RankingTask]:
    return tasks.select_related("prompt").prefetch_related("completions")


def asked(task: RankingTask) -> str:
    return str(task.prompt.messages[-1]["content"])


def judge_all(
    course: Sequence[CoursePerson], items: Sequence[CourseItem], draw: random.Random, tell: Progress
) -> int:
    """Everybody in turn takes the next task and answers it, until nobody is given one. Returns the judgements."""
    judge = CourseJudge(spreads(_scored_pairs(items), draw), draw)
    version = Rule.objects.get(key=RULE).versions.first()
    assert version is not None
    accounts = {one.username: one for one in User.objects.filter(username__in=[person.name for person in course])}
    at_work, made = list(course), 0
    left = _missing()
    while at_work:
        at_work = [person for person in at_work if _judge_one(accounts[person.name], person, judge, version.pk, draw)]
        made += len(at_work)
        tell(made, max(left, made))
    return made


def _missing() -> int:
    return sum(RankingTask.objects.filter(project__key=KEY).values_list("overlap", flat=True))


def _judge_one(account: User, person: CoursePerson, judge: CourseJudge, version: int, draw: random.Random) -> bool:
    own = task_queue.next_assignment(account)
    if own is None:
        return False
    texts = dict(own.task.completions.values_list("pk", "text"))
    shown = [texts[pk] for pk in own.shown_order]
    answer = judge.answer(person.quality, asked(own.task), shown)
    _take_time(own, shown, draw)
    flags = {(pk, version) for pk, flagged in zip(own.shown_order, answer.flagged, strict=True) if flagged}
    places = list(zip(own.shown_order, answer.ranks, strict=True))
    task_queue.submit(own.task_id, account, Judgement(places, flags, (version,)))
    return True


def _take_time(own: Assignment, shown: Sequence[str], draw: random.Random) -> None:
    """The assignment is as old as if a person had read the texts; nobody waits for that."""
    seconds = reading_time.least_seconds([asked(own.task), *shown]) * draw.uniform(*PACE)
    Assignment.objects.filter(pk=own.pk).update(since=own.since - timedelta(seconds=seconds))


def _scored_pairs(items: Sequence[CourseItem]) -> list[tuple[float, float]]:
    return [pair for item in items for pair in combinations([TASTE(item.prompt, text) for text in item.replies], 2)]
