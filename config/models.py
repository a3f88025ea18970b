"""The lease of the scheduler: of several that run, one sends tasks."""

from django.db import models


class SchedulerLease(models.Model):
    """One row: who may send the scheduled tasks, until when, and when each of them was last sent."""

    owner = models.CharField(max_length=120, blank=True)
    lease_until = models.DateTimeField(null=True)
    last_sent = models.JSONField(default=dict)
    """Seconds since 1970 by the schedule's entry."""
