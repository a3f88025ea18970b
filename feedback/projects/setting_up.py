"""Makes, changes, stops, resumes and clones projects; each with its audit entry, and all of it or nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef

from accounts.audit import record
from accounts.models import User
from accounts.roles import Role
from chat.models import Policy
from feedback.models import Assignment, Completion, Project, ProjectMember, ProjectPrompt, RankingTask, Rule
from feedback.projects import asks, importing, people
from feedback.projects.errors import KeyTaken, NotForTheSite
from feedback.projects.importing import Imported
from feedback.projects.people import PersonLine
from feedback.projects.prompt_files import PromptLine

RESERVED = frozenset({"new", "join", Project.SITE})
"""Words of the addresses under /projects/, and the key of the site's own stream."""
MAX_OVERLAP = 50
COPIED = (
    *("overlap", "completions_per_task", "replies", "policy", "languages"),
    *("question", "rule", "attributes"),
)
CHANGED = ("title", "overlap", "completions_per_task", "languages", "deadline")


@dataclass(frozen=True)
class ProjectPlan:
    """What a new project is to be."""

    key: str
    title: str
    replies: str = Project.Replies.LIVE
    policy: Policy | None = None
    completions_per_task: int = 4
    overlap: int = 1
    languages: list[str] = field(default_factory=list)
    deadline: datetime | None = None
    question: str = Project.Question.RANK
    rule: Rule | None = None
    """By which replies are graded, where that is the question."""
    attributes: list[str] = field(default_factory=list)
    """What replies are rated on, where that is the question."""
    prompts: Sequence[PromptLine] = ()
    people: Sequence[PersonLine] = ()


@transaction.atomic
def create(plan: ProjectPlan, *, by: User | None) -> tuple[Project, Imported]:
    """Raises KeyTaken, QuestionRefused, PromptFileRefused, PeopleRefused; then nothing is made."""
    made = _made(plan, by)
    stored = importing.add_prompts(made, plan.prompts)
    record(by, "project.create", made, after={**_told(made), "prompts": stored.prompts, "tasks": stored.tasks})
    _join_as_lead(made, by)
    people.add(made, plan.people, by=by)
    return made, stored


def _made(plan: ProjectPlan, by: User | None) -> Project:
    if plan.key in RESERVED:
        raise KeyTaken
    asks.check(plan.question, plan.replies, plan.completions_per_task, plan.rule, plan.attributes)
    made, is_new = Project.objects.get_or_create(
        key=plan.key,
        defaults={
            "title": plan.title,
            "replies": plan.replies,
            "policy": plan.policy,
            "completions_per_task": plan.completions_per_task,
            "overlap": plan.overlap,
            "languages": plan.languages,
            "deadline": plan.deadline,
            "question": plan.question,
            "rule": plan.rule,
            "attributes": plan.attributes,
            "created_by": by,
        },
    )
    if not is_new:
        raise KeyTaken
    return made


def _join_as_lead(made: Project, by: User | None) -> None:
    """A lead who makes a project leads it, and may make others as before; an admin needs no membership."""
    if by is not None and not by.has_role(Role.ADMIN):
        ProjectMember.objects.create(project=made, person=by, role=ProjectMember.Role.LEAD, may_make_projects=True)


@transaction.atomic
def add_prompts(to: Project, lines: Sequence[PromptLine], *, by: User | None) -> Imported:
    """Raises PromptFileRefused, NotForTheSite."""
    _refuse_site(to)
    stored = importing.add_prompts(to, lines)
    record(by, "project.prompts", to, after={"prompts": stored.prompts, "tasks": stored.tasks})
    return stored


@transaction.atomic
def change(of: Project, values: Mapping[str, Any], *, by: User | None) -> bool:
    """Sets those of CHANGED that are given; false where nothing differs. Of the site's own stream, the overlap alone:
    the rest of it is in the settings. A new overlap is that of the tasks which nobody has begun, too. Raises
    QuestionRefused where there are more or fewer replies than the question is about."""
    locked = Project.objects.select_for_update().get(pk=of.pk)
    allowed = ("overlap",) if locked.is_site else CHANGED
    new = {name: values[name] for name in allowed if name in values and values[name] != getattr(locked, name)}
    if not new:
        return False
    _check_completions(locked, new)
    before = _told(locked)
    for name, value in new.items():
        setattr(locked, name, value)
    locked.save(update_fields=list(new))
    if "overlap" in new:
        _change_overlap(locked)
    record(by, "project.change", locked, before=before, after=_told(locked))
    of.refresh_from_db()
    return True


def _check_completions(of: Project, new: Mapping[str, Any]) -> None:
    """Raises QuestionRefused."""
    if "completions_per_task" in new:
        asks.check(of.question, of.replies, new["completions_per_task"], of.rule, of.attributes)


def _change_overlap(of: Project) -> None:
    begun = Assignment.objects.filter(task=OuterRef("pk"))
    waiting = RankingTask.objects.select_for_update(of=("self",)).filter(
        ~Exists(begun), project=of, state=RankingTask.State.OPEN, judgements=0, blind_pair=None
    )
    ids = list(waiting.values_list("pk", flat=True))
    RankingTask.objects.filter(pk__in=ids, judgements=0).update(overlap=of.overlap)


@transaction.atomic
def set_state(of: Project, state: str, *, by: User | None) -> bool:
    """Stops or resumes it; false where it is so already. Who works on a task of it may finish that."""
    _refuse_site(of)
    rows = Project.objects.filter(pk=of.pk).exclude(state=state)
    if not rows.update(state=state):
        return False
    verb = "project.stop" if state == Project.State.STOPPED else "project.resume"
    record(by, verb, of)
    of.refresh_from_db()
    return True


@transaction.atomic
def clone(of: Project, key: str, title: str, *, with_people: bool, by: User | None) -> Project:
    """The same prompts, pasted replies and settings, without a judgement and a deadline. Raises KeyTaken."""
    _refuse_site(of)
    copied = {name: getattr(of, name) for name in COPIED}
    made = _made(ProjectPlan(key=key, title=title, **copied), by)
    ProjectPrompt.objects.bulk_create(
        ProjectPrompt(project=made, prompt_id=row.prompt_id, tags=row.tags) for row in of.prompts.all()
    )
    if of.replies in (Project.Replies.PASTED, Project.Replies.NONE):
        _copy_tasks(of, made)
    record(by, "project.clone", made, after={**_told(made), "of": of.key})
    _join_as_lead(made, by)
    if with_people:
        _copy_people(of, made)
    return made


def _copy_tasks(of: Project, to: Project) -> None:
    tasks = list(of.tasks.order_by("pk").prefetch_related("completions"))
    made = RankingTask.objects.bulk_create(
        RankingTask(prompt_id=task.prompt_id, project=to, overlap=to.overlap) for task in tasks
    )
    Completion.objects.bulk_create(
        (
            Completion(
                task=copy,
                index=reply.index,
                text=reply.text,
                finish_reason=reply.finish_reason,
                parameters=reply.parameters,
                never_train=reply.never_train,
                hidden_at=reply.hidden_at,
            )
            for task, copy in zip(tasks, made, strict=True)
            for reply in task.completions.all()
        ),
        batch_size=500,
    )


def _copy_people(of: Project, to: Project) -> None:
    there = ProjectMember.objects.filter(project=to).values("person")
    ProjectMember.objects.bulk_create(
        ProjectMember(project=to, person_id=row.person_id, role=row.role, languages=row.languages)
        for row in of.members.exclude(person__in=there)
    )


def _refuse_site(project: Project) -> None:
    if project.is_site:
        raise NotForTheSite


def _told(of: Project) -> dict[str, Any]:
    return {
        "key": of.key,
        "title": of.title,
        "question": of.question,
        "overlap": of.overlap,
        "completions": of.completions_per_task,
        "languages": of.languages,
        "deadline": of.deadline.isoformat() if of.deadline else "",
    }
