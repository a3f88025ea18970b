"""Celery tasks: erase closed accounts, remove old notices, verify the audit log."""

import logging

from celery import shared_task

from accounts import audit_checks, erasure, notices
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


@shared_task
def check_audit_log() -> int:
    """The number of faults, which the page of the audit log shows as well."""
    result = audit_checks.check_whole()
    for fault in result.faults:
        log.error("audit log: %s", fault)
    return len(result.faults)
