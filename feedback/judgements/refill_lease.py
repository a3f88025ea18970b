"""The lease for making ranking tasks, in one row: one process at a time, another one soon after it was killed."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import uuid4

from django.db.models import Q, QuerySet
from django.utils import timezone

from chat.completions.giving_way import NotWanted
from chat.queue import people
from feedback.models import TaskRefill

LEASE = timedelta(seconds=30)
"""How long a killed process keeps others from making tasks."""
RENEW_EVERY_S = 5.0
PATIENCE_S = 60.0
"""How long work waits for people before it is given up, so that it does not occupy a worker. The schedule begins it
anew; what is lost are the finished completions of one task."""


@dataclass
class Lease:
    owner: str
    had: int = 0
    done: int = 0
    wanted: int = 0
    _renewed: tuple[int, int] = (0, 0)
    _renew_at: float = 0.0
    _had_room_at: float = field(default_factory=time.monotonic)

    def begin(self, had: int, wanted: int) -> None:
        """Of the completions of a task so many are there."""
        self.had = self.done = had
        self.wanted = wanted

    def note(self, done: int, _of: int) -> None:
        """So many more are there by now; the next look stores it."""
        self.done = self.had + done

    def look(self) -> int:
        """The room that people leave (chat.completions.giving_way). Raises NotWanted if the lease is lost, or people
        have left no room for PATIENCE_S."""
        now, room = time.monotonic(), people.room_for_bulk()
        if now >= self._renew_at or self._renewed != (self.done, self.wanted):
            self._renew(now)
        if room:
            self._had_room_at = now
        elif now - self._had_room_at > PATIENCE_S:
            raise NotWanted("people come first")
        return room

    def _renew(self, now: float) -> None:
        self._renew_at, self._renewed = now + RENEW_EVERY_S, (self.done, self.wanted)
        until = timezone.now() + LEASE
        if not _of(self.owner).update(lease_until=until, done=self.done, wanted=self.wanted):
            raise NotWanted("the lease was lost")

    def is_held(self) -> bool:
        """Locks the row: inside a transaction nobody else can take the lease from here on."""
        return _of(self.owner).select_for_update().exists()


@contextmanager
def held() -> Iterator[Lease | None]:
    """The lease; None if another process has it."""
    owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:12]}"
    TaskRefill.objects.get_or_create(pk=1)
    free = Q(lease_until=None) | Q(lease_until__lt=timezone.now())
    if not TaskRefill.objects.filter(free).update(owner=owner, lease_until=timezone.now() + LEASE, done=0, wanted=0):
        yield None
        return
    try:
        yield Lease(owner)
    finally:
        TaskRefill.objects.filter(owner=owner).update(owner="", lease_until=None, done=0, wanted=0)


def current() -> TaskRefill | None:
    """The row while somebody makes tasks."""
    return TaskRefill.objects.filter(lease_until__gt=timezone.now()).first()


def _of(owner: str) -> QuerySet[TaskRefill]:
    return TaskRefill.objects.filter(owner=owner, lease_until__gt=timezone.now())
