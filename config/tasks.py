"""Celery tasks of the whole site: make the backup that is due or asked for, verify one, remove old ones."""

from celery import shared_task

from accounts.models import User
from config.backup import kept


@shared_task
def make_due_backup() -> bool:
    """Whether one was made. A failure is the task's error, and the page shows how old the newest is."""
    if not kept.is_due():
        return False
    made = kept.make() is not None
    kept.remove_old()
    return made


@shared_task
def make_backup(person_id: int) -> bool:
    return kept.make(User.objects.get(pk=person_id)) is not None


@shared_task
def verify_backup(name: str) -> bool:
    """Whether it is sound; False as well where it was removed meanwhile."""
    backup = next((backup for backup in kept.kept() if backup.name == name), None)
    verified = kept.verify(backup.path).verified if backup else None
    return verified is not None and not verified.problem
