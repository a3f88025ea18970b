"""The queue's hands for own data and jobs; the rows own the work."""

from celery import shared_task

from fine_tuning.data import files, receiving
from fine_tuning.jobs import lifecycle


@shared_task(name="fine_tuning.tasks.follow_jobs")
def follow_jobs() -> None:
    """Brings every job to where its run is, and the trainer to whose turn it is."""
    lifecycle.follow_all()


@shared_task(name="fine_tuning.tasks.remove_old_files")
def remove_old_files() -> int:
    """Files whose time is over, and bytes that no row names. How many."""
    return files.expire() + len(receiving.sweep())
