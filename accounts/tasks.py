"""Celery tasks: erase closed accounts once their time for reopening is over, and remove old notices."""

import logging

from celery import shared_task

from accounts import erasure, notices
from accounts.personal import NotYet

log = logging.getLogger(__name__)


@shared_task
def erase_due_accounts() -> int:
    """The number of accounts erased. An account whose data is in use waits for the next run and delays no other."""
    erased = 0
    for person in erasure.due_accounts():
        try:
            erasure.erase(person)
        except NotYet as reason:
            log.info("account %s waits to be erased: %s", person.pk, reason)
        else:
            erased += 1
    if erased:
        erasure.truncate_journal()
    return erased


@shared_task
def remove_old_notices() -> int:
    """The number of notices removed."""
    return notices.remove_old()
