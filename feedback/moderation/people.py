"""A person as moderators see them: standing, warnings, reports by and against them, and what may be done."""

from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts import notices
from accounts.audit import record
from accounts.models import AuditEntry, Notice, User
from accounts.roles import Role
from chat.models import Message, Reply
from feedback.errors import NotAllowed, NothingToDo, NotTheirAccount, WarningNeeded
from feedback.models import GivenWarning, ModeratorNote, Report
from feedback.moderation import actions, notes, records
from feedback.moderation.priority import Record

LISTED = 20
"""As many of their newest reports and entries are listed."""
LONGEST_WARNING = 1000


@dataclass(frozen=True)
class History:
    """Numbers about a person."""

    conversations: int
    messages: int
    blocked: int
    """Replies to them that a guard ended."""
    about: dict[str, int]
    """Reports in their conversations that others made, by state."""
    made: Record
    """How their own reports were decided."""
    made_total: int
    suspensions: int
    warnings: int
    """Those that still stand."""


def history_of(user: User) -> History:
    own = Report.objects.filter(reporter=user)
    return History(
        conversations=user.conversations.count(),
        messages=Message.objects.filter(conversation__owner=user, role=Message.Role.USER).count(),
        blocked=Reply.objects.filter(message__conversation__owner=user, state=Reply.State.BLOCKED).count(),
        about=dict(_against(user).order_by().values_list("state").annotate(n=Count("pk"))),
        made=records.of([user.pk]).get(user.pk, Record()),
        made_total=own.count(),
        suspensions=AuditEntry.objects.filter(verb="user.suspend", target=_target(user)).count(),
        warnings=GivenWarning.objects.filter(person=user, withdrawn_at=None).count(),
    )


def _against(user: User) -> QuerySet[Report]:
    """Reports that others made of texts in the person's conversations, the newest first."""
    own = Q(message__conversation__owner=user) | Q(completion__task__prompt__message__conversation__owner=user)
    return _with_texts(Report.objects.filter(own).exclude(reporter=user))


def _made_by(user: User) -> QuerySet[Report]:
    """The person's own reports, the newest first."""
    return _with_texts(Report.objects.filter(reporter=user))


def _with_texts(reports: QuerySet[Report]) -> QuerySet[Report]:
    return reports.select_related("message", "completion", "rule_version__rule", "reporter").order_by("-id")


@dataclass(frozen=True)
class Page:
    """All that the page of a person shows."""

    person: User
    history: History
    warnings: list[GivenWarning]
    against: list[Report]
    made: list[Report]
    notes: list[ModeratorNote]
    entries: list[AuditEntry]


def page_of(user: User) -> Page:
    return Page(
        person=user,
        history=history_of(user),
        warnings=list(GivenWarning.objects.filter(person=user).select_related("given_by")),
        against=list(_against(user)[:LISTED]),
        made=list(_made_by(user)[:LISTED]),
        notes=list(notes.of(user)),
        entries=list(AuditEntry.objects.filter(target=_target(user)).select_related("actor")[:LISTED]),
    )


def everybody() -> QuerySet[User]:
    """In the order of names; programs are not people."""
    return User.objects.filter(is_simulated=False, erased_at=None).order_by("username")


def named(users: QuerySet[User], name: str) -> QuerySet[User]:
    """Those whose name has this part."""
    return users.filter(username__icontains=name) if name else users


def with_numbers(users: QuerySet[User]) -> QuerySet[User]:
    """With what a list of people shows of each, in the same query."""
    own = Message.objects.filter(conversation__owner=OuterRef("pk"), role=Message.Role.USER)
    reported = Report.objects.filter(message__conversation__owner=OuterRef("pk")).exclude(reporter=OuterRef("pk"))
    blocked = Message.objects.filter(conversation__owner=OuterRef("pk"), reply__state=Reply.State.BLOCKED)
    made = Report.objects.filter(reporter=OuterRef("pk"))
    warnings = GivenWarning.objects.filter(person=OuterRef("pk"), withdrawn_at=None)
    return users.annotate(
        n_messages=_count(own),
        n_reported=_count(reported),
        n_blocked=_count(blocked),
        n_made=_count(made),
        n_warnings=_count(warnings),
    )


def _count(rows: QuerySet[Any]) -> Coalesce:
    counted = rows.order_by().annotate(one=Value(1)).values("one").annotate(n=Count("pk")).values("n")
    return Coalesce(Subquery(counted), 0)


def _target(user: User) -> str:
    """As audit entries name the account."""
    return f"{user._meta.label_lower}:{user.pk}"


# --- warnings -----------------------------------------------------------------------------------------


@transaction.atomic
def warn(person: User, actor: User, text: str) -> GivenWarning:
    """Sends the person the text as a notice, and keeps it. Raises WarningNeeded, NotAllowed, NotTheirAccount."""
    if not text.strip():
        raise WarningNeeded
    if not actor.has_role(Role.MODERATOR):
        raise NotAllowed
    if not actions.may_suspend(actor, person):
        raise NotTheirAccount
    given = GivenWarning.objects.create(person=person, given_by=actor, text=text.strip()[:LONGEST_WARNING])
    notices.send(Notice.Kind.WARNED, {person.pk: {"text": given.text}}, about=_about(given))
    record(actor, "user.warn", person, reason=given.text, after={"warning": given.pk})
    return given


@transaction.atomic
def withdraw_warning(warning: GivenWarning, actor: User, reason: str) -> None:
    """It no longer counts, and its notice goes. Raises NothingToDo, NotAllowed."""
    if not actor.has_role(Role.MODERATOR):
        raise NotAllowed
    locked = GivenWarning.objects.select_for_update().get(pk=warning.pk)
    if locked.withdrawn_at is not None:
        raise NothingToDo
    locked.withdrawn_at = timezone.now()
    locked.save(update_fields=["withdrawn_at"])
    Notice.objects.filter(kind=Notice.Kind.WARNED, about=_about(locked)).delete()
    record(actor, "user.unwarn", locked.person, reason=reason, before={"warning": locked.pk})


def _about(warning: GivenWarning) -> str:
    """As notices name the act."""
    return f"warning:{warning.pk}"
