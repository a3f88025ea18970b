"""Records the events of a job, numbered without gaps; recording the same event again is idempotent."""

from typing import Any

from django.db import transaction
from django.db.models import Max

from fine_tuning.models import Event, FineTune


def record(job: FineTune, mark: str, message: str, **fields: Any) -> Event | None:
    """Adds the event; None where one with that mark exists already. `fields`: level, kind, data."""
    with transaction.atomic():
        FineTune.objects.select_for_update().only("pk").get(pk=job.pk)  # serialises concurrent writers
        if job.events.filter(mark=mark).exists():
            return None
        newest = job.events.aggregate(newest=Max("seq"))["newest"] or 0
        return Event.objects.create(fine_tune=job, seq=newest + 1, mark=mark, message=message[:500], **fields)


def record_repeatable(job: FineTune, mark: str, message: str, **fields: Any) -> Event | None:
    """For an event that may happen several times, such as a pause: its mark is numbered."""
    times = job.events.filter(mark__startswith=f"{mark}:").count()
    return record(job, f"{mark}:{times + 1}", message, **fields)
