"""A run whose supervisor has been silent for longer than its lease."""

from datetime import timedelta

from rlhf.models import Run
from rlhf.runs import leases


def expire(run):
    Run.objects.filter(pk=run.pk).update(lease_until=leases.later(timedelta(seconds=-1)))
