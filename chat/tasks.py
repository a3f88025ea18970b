"""Celery's hands: what was deleted is gone after some weeks."""

from celery import shared_task

from chat import removal


@shared_task
def remove_deleted_conversations() -> int:
    return removal.remove_deleted()
