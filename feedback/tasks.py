"""Celery's hands: the stock of ranking tasks is looked after every half minute."""

import logging

from celery import shared_task

from chat.errors import ChatError, NoLivePolicy
from feedback.judgements import task_stock

log = logging.getLogger(__name__)


@shared_task
def stock_tasks() -> int:
    """Tasks made. Without a policy or an engine there is nothing to make, and the next beat tries again."""
    try:
        return task_stock.refill()
    except NoLivePolicy:
        return 0
    except ChatError as error:
        log.warning("no ranking tasks made: %s: %s", error.code, error)
        return 0
