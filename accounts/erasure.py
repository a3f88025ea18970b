"""Leaving: an account is closed at once, can be taken back for seven days, and then everything of it is forgotten."""

from datetime import timedelta

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from accounts import audit, personal, sockets
from accounts.models import User
from accounts.personal_data import end_sessions

UNDO = timedelta(days=7)


class LastAdmin(Exception):
    """Without this account nobody could administer the site."""


def leave(person: User) -> None:
    """Closes the account: signed out everywhere, nothing shared or trained on, to be erased after UNDO. LastAdmin."""
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
    """Takes the leaving back."""
    with transaction.atomic():
        person.deletion_due_at = None
        person.save(update_fields=["deletion_due_at"])
        audit.record(person, "account.stay", person)


def due() -> list[User]:
    """Whose days are over."""
    return list(User.objects.filter(Q(deletion_due_at__lte=timezone.now()), erased_at=None).order_by("pk"))


def erase(person: User) -> None:
    """Forgets the person in every app, all or nothing. Raises personal.NotYet while something of theirs is in use."""
    with transaction.atomic():
        locked = User.objects.select_for_update().get(pk=person.pk)
        if locked.deletion_due_at is None or locked.deletion_due_at > timezone.now():
            return  # taken back meanwhile
        for app in personal.of_the_apps():
            app.forget_person(locked)
        audit.record(None, "account.erase", locked)
        transaction.on_commit(lambda: sockets.close(locked))


def empty_the_journal() -> None:
    """SQLite keeps what was overwritten in its write-ahead log until that is emptied; PostgreSQL vacuums itself."""
    if connection.vendor == "sqlite" and not connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
