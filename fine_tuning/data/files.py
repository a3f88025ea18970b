"""A person's files: which there are, their bytes, and their end."""

from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import User
from fine_tuning.data import receiving
from fine_tuning.models import DataFile


def of(person: User) -> QuerySet[DataFile]:
    """The newest first."""
    return DataFile.objects.filter(owner=person).order_by("-created_at", "-id")


def to_learn_from(person: User) -> QuerySet[DataFile]:
    return of(person).filter(purpose=DataFile.Purpose.FINE_TUNE, state=DataFile.State.PROCESSED)


def expire() -> int:
    due = list(DataFile.objects.filter(expires_at__lte=timezone.now()))
    for file in due:
        receiving.remove(file)
    return len(due)
