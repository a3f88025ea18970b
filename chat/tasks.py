"""Celery tasks: remove deleted conversations after some weeks, and ended tickets after some days."""

from celery import shared_task

from chat.conversations import removal
from chat.queue import tickets


@shared_task
def remove_deleted_conversations() -> int:
    return removal.remove_deleted()


@shared_task
def remove_ended_tickets() -> int:
    return tickets.remove_old()
