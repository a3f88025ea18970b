"""Celery tasks: stock and order ranking tasks, tell of new ones, record votes, assess annotators, send webhooks."""

import logging

from celery import shared_task

from chat.errors import ChatError, NoLivePolicy
from feedback.judgements import task_notices, task_stock
from feedback.leaderboard import recording
from feedback.projects import need
from feedback.trust import assessment
from feedback.webhooks import sending

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


@shared_task
def order_tasks() -> int:
    """The number of ranking tasks that are needed more, or less, than before."""
    return need.update()


@shared_task
def record_votes() -> int:
    """The number of judgements between policies that the leaderboard did not know yet."""
    return recording.record()


@shared_task
def assess_annotators() -> int:
    """The number of new findings."""
    return assessment.assess().opened


@shared_task
def send_webhooks() -> int:
    """The number of deliveries that arrived."""
    return sending.send_due()


@shared_task
def remove_old_deliveries() -> int:
    """Of webhooks; the number of rows."""
    return sending.remove_old()
