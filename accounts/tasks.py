"""Celery's hands: accounts whose days are over are erased."""

import logging

from celery import shared_task

from accounts import erasure
from accounts.personal import NotYet

log = logging.getLogger(__name__)


@shared_task
def erase_due_accounts() -> int:
    """Accounts erased. One that something still works on waits for the next beat, and holds up no other."""
    erased = 0
    for person in erasure.due():
        try:
            erasure.erase(person)
        except NotYet as reason:
            log.info("account %s waits to be erased: %s", person.pk, reason)
        else:
            erased += 1
    if erased:
        erasure.empty_the_journal()
    return erased
