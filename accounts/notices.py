"""Notices: sending them to people who want that kind, counting the unread, marking as read, removing old ones."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.utils import timezone

from accounts.models import Notice, User
from accounts.roles import ABOVE, GROUPS, Role

Kind = Notice.Kind
FOR: Mapping[str, Role] = {
    Kind.TASKS_WAIT: Role.ANNOTATOR,
    Kind.GATE_REFUSED: Role.ADMIN,
    Kind.CYCLE_HELD_UP: Role.ADMIN,
    Kind.WEBHOOK_DISABLED: Role.ADMIN,
}
"""Kinds that only people of a role get; all others are for everybody."""
ON_REQUEST = frozenset({Kind.TASKS_WAIT})
"""Kinds that nobody gets who did not ask for them."""
ALWAYS = frozenset({Kind.WARNED})
"""Kinds that nobody can choose not to get."""
READ_KEPT, KEPT = timedelta(days=30), timedelta(days=180)
BATCH = 500
MOST_COUNTED = 100


def send(kind: Kind, to: Mapping[int, Mapping[str, Any]], *, about: str, link: str = "") -> None:
    """Sends each person their notice, with the parameters of its text by the id of the person.

    Must run in the transaction of the act, so that neither is stored without the other. Idempotent: a person gets one
    notice of a kind about one act. Left out are programs, closed accounts, and people who do not want that kind.
    """
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError(f"{kind}: a notice belongs in the transaction of its act")
    for ids in _batches(sorted(to)):
        wanting = [person.pk for person in _reachable().filter(pk__in=ids) if wants(person, kind)]
        Notice.objects.bulk_create(
            [Notice(person_id=pk, kind=kind, about=about, parameters=dict(to[pk]), link=link) for pk in wanting],
            ignore_conflicts=True,
        )


def _batches(ids: list[int]) -> Iterator[list[int]]:
    return (ids[start : start + BATCH] for start in range(0, len(ids), BATCH))


def _reachable() -> QuerySet[User]:
    people = User.objects.filter(is_active=True, is_simulated=False, is_imported=False, deletion_due_at=None)
    return people.only("pk", "notice_choices")


def wants(person: User, kind: str) -> bool:
    return kind in ALWAYS or bool(person.notice_choices.get(kind, kind not in ON_REQUEST))


def people_of(role: Role) -> QuerySet[User]:
    """Active people who have the role, by it or by one above it."""
    names = [above.value for above in GROUPS if role in ABOVE[above]]
    return User.objects.filter(Q(groups__name__in=names) | Q(is_superuser=True), is_active=True).distinct()


# --- the person's own ---------------------------------------------------------------------------------------------


def kinds_for(person: User) -> list[Kind]:
    """The kinds that the person may choose or not."""
    roles = person.roles()
    return [kind for kind in Kind if kind not in ALWAYS and FOR.get(kind, Role.CHATTER) in roles]


def choose(person: User, wanted: set[str]) -> None:
    """Stores which of the kinds that the person may choose they want; their choices for other kinds stay."""
    chosen = {kind.value: kind in wanted for kind in kinds_for(person)}
    person.notice_choices = {**person.notice_choices, **chosen}
    person.save(update_fields=["notice_choices"])


def of(person: User) -> QuerySet[Notice]:
    """The person's notices: the unread first, the newest first."""
    is_read = ExpressionWrapper(Q(read_at__isnull=False), output_field=BooleanField())
    return person.notices.annotate(is_read=is_read).order_by("is_read", "-id")


def unread(person: User) -> QuerySet[Notice]:
    return person.notices.filter(read_at=None)


def count_unread(person: User) -> int:
    """Up to MOST_COUNTED, by one look into the index of unread notices."""
    return unread(person).order_by()[:MOST_COUNTED].count()


def mark_read(notices: QuerySet[Notice]) -> int:
    """How many of them were unread."""
    return notices.filter(read_at=None).update(read_at=timezone.now())


def remove_old() -> int:
    """Removes what was read some weeks ago, and what nobody has read in months. How many."""
    now = timezone.now()
    old = Q(read_at__lt=now - READ_KEPT) | Q(created_at__lt=now - KEPT)
    return Notice.objects.filter(old).delete()[0]
