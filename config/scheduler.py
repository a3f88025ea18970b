"""Celery's scheduler under a lease in the database: of several that run, one sends tasks, and another takes over.

When each task was last sent stands in the same row, so that whoever takes over, or starts after a night, goes on from
there.
"""

import logging
import os
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import uuid4

from celery.beat import Scheduler
from django.db import connections
from django.db.models import Q
from django.db.models.functions import Now
from django.db.utils import DatabaseError, InterfaceError

from config.models import SchedulerLease
from rlhf.runs.leases import later

LEASE = timedelta(seconds=30)
"""How long a scheduler that was killed keeps the others from sending."""
RENEW_EVERY_S = 5.0

log = logging.getLogger(__name__)
R = TypeVar("R")


class LeasedScheduler(Scheduler):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.owner = f"{socket.gethostname()[:60]}:{os.getpid()}:{uuid4().hex[:12]}"
        self.leads = False
        self._renew_at = 0.0
        self._is_told = False
        super().__init__(*args, **kwargs)

    def setup_schedule(self) -> None:
        self.update_from_dict(self.app.conf.beat_schedule)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Sends what is due, where this scheduler leads; returns the seconds until the next look."""
        if time.monotonic() >= self._renew_at:
            self._renew()
        if not self.leads:
            return RENEW_EVERY_S
        return min(float(super().tick(*args, **kwargs)), max(0.0, self._renew_at - time.monotonic()))

    def close(self) -> None:
        """Leaves the lease to another at once."""
        if self.leads:
            self._ask(lambda: _give_up(self.owner))
        super().close()

    def _renew(self) -> None:
        self._renew_at = time.monotonic() + RENEW_EVERY_S
        led, self.leads = self.leads, False
        row = self._ask(lambda: _take(self.owner, self._last_sent() if led else None))
        if row is None:
            if not self._is_told:
                log.info("another scheduler sends the tasks; this one waits")
            self._is_told = True
            return
        self.leads, self._is_told = True, False
        if not led:
            self._go_on_from(row.last_sent)

    def _ask(self, act: Callable[[], R]) -> R | None:
        try:
            return act()
        except (DatabaseError, InterfaceError) as error:
            log.warning("the scheduler waits for the database: %s", error)
            connections.close_all()  # a connection that broke never mends
            return None

    def _last_sent(self) -> dict[str, float]:
        return {name: entry.last_run_at.timestamp() for name, entry in self.schedule.items() if entry.last_run_at}

    def _go_on_from(self, last_sent: dict[str, float]) -> None:
        """A task that was never sent is due now."""
        for name, entry in self.schedule.items():
            entry.last_run_at = datetime.fromtimestamp(last_sent.get(name, 0.0), UTC)
        self._heap = None


def _take(owner: str, last_sent: dict[str, float] | None) -> SchedulerLease | None:
    """The row where the lease is free or ours already, taken until LEASE from now by the database's clock."""
    SchedulerLease.objects.get_or_create(pk=1)
    free = Q(lease_until=None) | Q(lease_until__lt=Now()) | Q(owner=owner)
    stored: dict[str, Any] = {} if last_sent is None else {"last_sent": last_sent}
    taken = SchedulerLease.objects.filter(free, pk=1).update(owner=owner, lease_until=later(LEASE), **stored)
    return SchedulerLease.objects.get(pk=1) if taken else None


def _give_up(owner: str) -> None:
    SchedulerLease.objects.filter(owner=owner).update(owner="", lease_until=None)
