"""Celery tasks: bring jobs up to date with their runs, and remove expired files."""

from celery import shared_task

from fine_tuning.data import files, uploads
from fine_tuning.jobs import lifecycle


@shared_task(name="fine_tuning.tasks.follow_jobs")
def follow_jobs() -> None:
    """Brings every job up to date with its run, and starts the next one."""
    lifecycle.follow_all()


@shared_task(name="fine_tuning.tasks.remove_old_files")
def remove_old_files() -> int:
    """Expired files, and files on disk without a row. How many."""
    return files.remove_expired() + len(uploads.remove_strays())
