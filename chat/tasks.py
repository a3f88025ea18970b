"""Celery tasks: remove what was deleted, temporary or ended; give titles to new conversations."""

from celery import shared_task

from chat.conversations import model_titles, removal, temporary
from chat.queue import tickets


@shared_task
def remove_deleted_conversations() -> int:
    return removal.remove_deleted()


@shared_task
def remove_ended_tickets() -> int:
    return tickets.remove_old()


@shared_task
def remove_temporary_conversations() -> int:
    return temporary.remove_ended()


@shared_task
def title_new_conversations() -> int:
    return model_titles.title_new_ones()
