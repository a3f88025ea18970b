"""Judgements that were faster than reading allows: whose wait for somebody's look, and whether they count."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Count, Max, QuerySet
from django.utils import timezone

from accounts.audit import record
from accounts.models import User
from feedback.errors import ReasonNeeded
from feedback.judgements import reading_time
from feedback.models import Project, Ranking, TaskAnswer
from feedback.trust.errors import NothingTooFast, OwnJudgements

SHOWN = 5
"""Of each person, the newest."""
READ = 300
"""Judgements of all people, the newest of each kind, whose texts are read for the page."""
Made = Ranking | TaskAnswer
KINDS: tuple[type[Made], ...] = (Ranking, TaskAnswer)


@dataclass(frozen=True)
class FastJudgement:
    made: Made
    seconds: float
    """Active ones where they were counted, else from the assignment on."""
    least: float
    """In which its texts can be read at the fastest."""

    @property
    def asked(self) -> str:
        """The last turn."""
        turns = self.made.task.prompt.messages
        return str(turns[-1]["content"]) if turns else ""


@dataclass(frozen=True)
class FastPerson:
    """Somebody with judgements that wait."""

    person: User
    count: int
    newest: datetime
    """When the newest one was made: what comes later was not on the page."""
    judgements: Sequence[FastJudgement]


def waiting(project: Project) -> int:
    """How many nobody has looked at yet."""
    return sum(_waiting(kind, project).count() for kind in KINDS)


def _waiting(kind: type[Made], project: Project) -> QuerySet[Any]:
    return kind._default_manager.filter(task__project=project, too_fast=True, looked_at=None, withdrawn_at=None)


def people(project: Project) -> list[FastPerson]:
    """Those with the most waiting first."""
    counts: Counter[int] = Counter()
    newest: dict[int, datetime] = {}
    for kind in KINDS:
        for row in _waiting(kind, project).values("annotator").annotate(n=Count("pk"), newest=Max("created_at")):
            who = row["annotator"]
            counts[who] += row["n"]
            newest[who] = max(row["newest"], newest.get(who, row["newest"]))
    accounts, shown = User.objects.in_bulk(counts), _newest(project)
    by_count = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [FastPerson(accounts[who], count, newest[who], shown[who][:SHOWN]) for who, count in by_count]


def _newest(project: Project) -> dict[int, list[FastJudgement]]:
    """By person, the newest first."""
    rows = [
        row
        for kind in KINDS
        for row in _waiting(kind, project)
        .select_related("task__prompt")
        .prefetch_related("task__completions")
        .order_by("-created_at")[:READ]
    ]
    found: dict[int, list[FastJudgement]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.created_at, reverse=True):
        found[row.annotator_id].append(FastJudgement(row, reading_time.seconds_of(row), reading_time.least_for(row)))
    return found


@transaction.atomic
def decide(project: Project, person: User, *, until: datetime, counts: bool, actor: User, reason: str) -> int:
    """Decides on all of this person's judgements that wait and were made until then; returns how many.

    Those that count train from the next snapshot on. Raises ReasonNeeded, OwnJudgements, NothingTooFast.
    """
    if not reason.strip():
        raise ReasonNeeded
    if person.pk == actor.pk:
        raise OwnJudgements
    ids = {kind: _decide_on(kind, project, person, until, counts) for kind in KINDS}
    if not any(ids.values()):
        raise NothingTooFast
    verb = "judgement.count_too_fast" if counts else "judgement.leave_out_too_fast"
    after = {"person": person.pk, "rankings": ids[Ranking], "answers": ids[TaskAnswer]}
    record(actor, verb, project, reason=reason, after=after)
    return sum(map(len, ids.values()))


def _decide_on(kind: type[Made], project: Project, person: User, until: datetime, counts: bool) -> list[int]:
    rows = _waiting(kind, project).select_for_update(of=("self",)).filter(annotator=person, created_at__lte=until)
    ids = list(rows.values_list("pk", flat=True))
    kind._default_manager.filter(pk__in=ids).update(too_fast=not counts, looked_at=timezone.now())
    return ids
