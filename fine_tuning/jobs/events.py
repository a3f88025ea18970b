"""What a job has to say: numbered without a gap, each thing once however often it is told."""

from typing import Any

from django.db import transaction
from django.db.models import Max

from fine_tuning.models import Event, FineTune


def tell(job: FineTune, mark: str, message: str, **fields: Any) -> Event | None:
    """Adds the event unless one of that mark is there; None if so. `fields`: level, kind, data."""
    with transaction.atomic():
        FineTune.objects.select_for_update().only("pk").get(pk=job.pk)  # two tellers at once take turns
        if job.events.filter(mark=mark).exists():
            return None
        newest = job.events.aggregate(newest=Max("seq"))["newest"] or 0
        return Event.objects.create(fine_tune=job, seq=newest + 1, mark=mark, message=message[:500], **fields)


def tell_again(job: FineTune, mark: str, message: str, **fields: Any) -> Event | None:
    """An event that may happen several times, as a pause: its mark is numbered."""
    times = job.events.filter(mark__startswith=f"{mark}:").count()
    return tell(job, f"{mark}:{times + 1}", message, **fields)
