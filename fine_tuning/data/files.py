"""Queries of a person's files, and the removal of expired ones."""

from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import User
from fine_tuning.data import uploads
from fine_tuning.models import DataFile


def of(person: User) -> QuerySet[DataFile]:
    """The newest first."""
    return DataFile.objects.filter(owner=person).order_by("-created_at", "-id")


def training_files_of(person: User) -> QuerySet[DataFile]:
    """Those that a job may be trained on."""
    return of(person).filter(purpose=DataFile.Purpose.FINE_TUNE, state=DataFile.State.PROCESSED)


def remove_expired() -> int:
    """How many."""
    due = list(DataFile.objects.filter(expires_at__lte=timezone.now()))
    for file in due:
        uploads.remove(file)
    return len(due)
