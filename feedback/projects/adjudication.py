"""Adjudication: a lead reads what the judges of a task said, where they disagree, and decides what its label is.

The decision is a ranking or an answer of its own, marked as adjudicated; it takes the place of theirs in training and
in exports. Who judged the task decides nothing about it.
"""

from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts.audit import record
from accounts.models import User
from feedback import guidelines, trainable
from feedback.judgements import corrections
from feedback.models import Project, Ranking, RankingTask, TaskAnswer
from feedback.projects.errors import NotToBeDecided
from feedback.questions import disagreements
from feedback.questions.kind import AskedTask, BadAnswer, Fields, Said, ToldLine, asked
from feedback.questions.kinds import KINDS

Lead = RankingTask.Lead
OWN = "own"
"""Instead of the number of a judgement that is adopted: the lead says something else."""
MOST_REASON = 2000


@dataclass(frozen=True)
class GivenJudgement:
    """What one of them said, without who it was."""

    number: int
    """From 1, in an order that tells nothing."""
    said: Said
    told: list[ToldLine]
    comment: str


def _waiting(project: Project) -> QuerySet[RankingTask]:
    """Tasks whose judges disagree, the widest disagreement first; without those that may not be read by now."""
    rows = RankingTask.objects.filter(project=project, lead=Lead.WAITING, prompt__in=trainable.prompts())
    return rows.exclude(completions__hidden_at__isnull=False).order_by("-disagreement", "pk")


def for_lead(project: Project, lead: User) -> QuerySet[RankingTask]:
    """Those that this lead may decide: not what they judged themselves, nor from their own conversations."""
    judged = [rows.objects.filter(**_judged_by(lead)) for rows in (Ranking, TaskAnswer)]
    found = _waiting(project).filter(*(~Exists(rows) for rows in judged))
    return found.filter(Q(prompt__message__isnull=True) | ~Q(prompt__message__conversation__owner=lead))


def _judged_by(lead: User) -> dict[str, Any]:
    return {"task": OuterRef("pk"), "annotator": lead, "is_adjudication": False}


def counts(project: Project) -> dict[str, int]:
    """Tasks that wait for a lead, and those that one has decided."""
    rows = RankingTask.objects.filter(project=project).exclude(lead=Lead.NOT_NEEDED)
    found = dict(rows.order_by().values_list("lead").annotate(n=Count("pk")))
    return {"waiting": found.get(Lead.WAITING, 0), "decided": found.get(Lead.DECIDED, 0)}


def judgements(of: AskedTask) -> list[GivenJudgement]:
    kind = KINDS[of.task.project.question]
    comments = _comments(of.task)
    rows = sorted(disagreements.given(of.task), key=lambda row: _drawn(of.task, row[0]))
    return [
        GivenJudgement(number, said, kind.told(said, of), comments.get(person, ""))
        for number, (person, said) in enumerate(rows, start=1)
    ]


def _drawn(task: RankingTask, person: int) -> str:
    """So that nobody is the first one of each task."""
    return salted_hmac("feedback.adjudication", f"{task.pk}:{person}").hexdigest()


def _comments(task: RankingTask) -> dict[int, str]:
    rows = Ranking if KINDS[task.project.question].is_order else TaskAnswer
    return dict(rows.objects.filter(task=task, is_adjudication=False).values_list("annotator", "comment"))


@transaction.atomic
def decide(task_id: int, project: Project, lead: User, given: Fields) -> Ranking | TaskAnswer:
    """Stores the decision: the judgement whose number stands in the field `adopt`, or what the other fields say.
    Raises BadAnswer, BadRanking, and NotToBeDecided if somebody was quicker or it is not for this lead."""
    task = RankingTask.objects.select_for_update().filter(pk=task_id, project=project).first()
    if task is None or not for_lead(project, lead).filter(pk=task_id).exists():
        raise NotToBeDecided
    of = asked(task)
    said = _chosen(of, given)
    made = _store(of, lead, said, given.get("reason", "")[:MOST_REASON])
    task.lead = Lead.DECIDED
    task.save(update_fields=["lead"])
    adopted = given.get("adopt", OWN) != OWN
    record(lead, "project.adjudicate", task, after={"project": project.key, "adopted": adopted})
    return made


def _chosen(of: AskedTask, given: Fields) -> Said:
    adopted = given.get("adopt", "")
    if adopted == OWN:
        return KINDS[of.task.project.question].read(given, of)
    for one in judgements(of):
        if str(one.number) == adopted:
            return one.said
    raise BadAnswer


def _store(of: AskedTask, lead: User, said: Said, reason: str) -> Ranking | TaskAnswer:
    kind = KINDS[of.task.project.question]
    common = {
        "shown_order": of.ids,
        "comment": reason,
        "guidelines_version": guidelines.current(of.task.project).number,
        "is_adjudication": True,
        "withdrawn_at": None,
        "created_at": timezone.now(),
    }
    own: dict[str, Any] = {"task": of.task, "annotator": lead}
    if kind.is_order:
        order = {name: said[name] for name in ("ranks", "strength", "overall")}
        return Ranking.objects.update_or_create(**own, defaults={**common, **order})[0]
    made = TaskAnswer.objects.update_or_create(**own, defaults={**common, "said": said})[0]
    kind.keep(made, was_withdrawn=True)
    return made


def last_decided(project: Project, lead: User) -> int | None:
    """The task that this lead decided last, if that was within a day."""
    since = timezone.now() - corrections.WITHIN
    rows = Ranking if KINDS[project.question].is_order else TaskAnswer
    own = {"annotator": lead, "is_adjudication": True, "withdrawn_at": None, "created_at__gte": since}
    found = rows.objects.filter(task__project=project, **own).order_by("-created_at", "-pk")
    return found.values_list("task", flat=True).first()


@transaction.atomic
def take_back(task_id: int, project: Project, lead: User) -> None:
    """The lead's own decision: the task waits for one again. Raises NotToBeDecided."""
    task = RankingTask.objects.select_for_update().filter(pk=task_id, project=project, lead=Lead.DECIDED).first()
    own = {"task": task_id, "annotator": lead, "is_adjudication": True, "withdrawn_at": None}
    if task is None or not sum(
        rows.objects.filter(**own).update(withdrawn_at=timezone.now()) for rows in (Ranking, TaskAnswer)
    ):
        raise NotToBeDecided
    task.lead = Lead.NOT_NEEDED
    disagreements.note(task)
    task.save(update_fields=["lead", "disagreement"])
    record(lead, "project.adjudicate_again", task, after={"project": project.key})
