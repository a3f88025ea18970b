"""Keeps a run's lease while its supervisor waits for copies to or from the state that hosts share."""

import contextlib
import logging
import threading
from collections.abc import Iterator

from django.db import DatabaseError, InterfaceError, connections

from base import shared_state
from rlhf.errors import LeaseLost
from rlhf.models import Run
from rlhf.runs import leases

EVERY_S = 5.0
log = logging.getLogger(__name__)


@contextlib.contextmanager
def lease_kept(run: Run, owner: str) -> Iterator[None]:
    """Without shared state nothing is copied, and nothing happens here."""
    if not shared_state.is_on():
        yield
        return
    over = threading.Event()
    keeper = threading.Thread(target=_renew, args=(Run.objects.get(pk=run.pk), owner, over), daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()


def _renew(run: Run, owner: str, over: threading.Event) -> None:
    try:
        while not over.wait(EVERY_S):
            try:
                leases.renew(run, owner)
            except LeaseLost:
                return  # the supervisor finds out itself
            except (DatabaseError, InterfaceError) as error:
                log.warning("the lease of run %s could not be renewed: %s", run.pk, error)
                connections.close_all()  # a connection that broke never mends
    finally:
        connections.close_all()
