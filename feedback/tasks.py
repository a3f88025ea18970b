"""Celery tasks: refill the stock of ranking tasks, and tell annotators who asked."""

import logging

from celery import shared_task

from chat.errors import ChatError, NoLivePolicy
from feedback.judgements import task_notices, task_stock

log = logging.getLogger(__name__)


@shared_task
def stock_tasks() -> int:
    """The number of tasks made: none without a policy or an engine, until the next run."""
    try:
        made = task_stock.refill()
    except NoLivePolicy:
        return 0
    except ChatError as error:
        log.warning("no ranking tasks made: %s: %s", error.code, error)
        return 0
    if made:
        task_notices.send()
    return made
