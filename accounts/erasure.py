"""Deleting an account: it is closed at once, can be reopened for seven days, and is then erased in every app."""

from datetime import timedelta

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from accounts import audit, personal, sockets
from accounts.models import User
from accounts.personal_data import end_sessions

UNDO = timedelta(days=7)


class LastAdmin(Exception):
    """The account is the only active admin of the site."""


def leave(person: User) -> None:
    """Closes the account, signs the person out everywhere and schedules the erasure after UNDO. Raises LastAdmin."""
    with transaction.atomic():
        admins = User.objects.select_for_update().filter(is_superuser=True, is_active=True, deletion_due_at=None)
        if set(admins.values_list("pk", flat=True)) == {person.pk}:
            raise LastAdmin
        person.deletion_due_at = timezone.now() + UNDO
        person.save(update_fields=["deletion_due_at"])
        audit.record(person, "account.leave", person, after={"due": person.deletion_due_at.isoformat()})
        end_sessions(person)
        transaction.on_commit(lambda: sockets.close(person))


def stay(person: User) -> None:
    """Reopens the account before it is erased."""
    with transaction.atomic():
        person.deletion_due_at = None
        person.save(update_fields=["deletion_due_at"])
        audit.record(person, "account.stay", person)


def due_accounts() -> list[User]:
    """Closed accounts whose time for reopening is over."""
    return list(User.objects.filter(Q(deletion_due_at__lte=timezone.now()), erased_at=None).order_by("pk"))


def erase(person: User) -> None:
    """Erases the person's data in every app, all or nothing. Raises personal.NotYet while some of it is in use."""
    with transaction.atomic():
        locked = User.objects.select_for_update().get(pk=person.pk)
        if locked.deletion_due_at is None or locked.deletion_due_at > timezone.now():
            return  # reopened meanwhile
        for app in personal.modules():
            app.forget_person(locked)
        audit.record(None, "account.erase", locked)
        transaction.on_commit(lambda: sockets.close(locked))


def truncate_journal() -> None:
    """Empties SQLite's write-ahead log, which still holds what was overwritten; PostgreSQL vacuums by itself."""
    if connection.vendor == "sqlite" and not connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
