"""`manage.py tidy_host`: removes this host's copies of what the database says is gone."""

from typing import Any

from base import host_tidying
from base.commands import ChamsaeCommand, Exit


class Command(ChamsaeCommand):
    help = (
        "Removes this host's copies of retired policies, erased snapshots and deleted files, what broken fetches "
        "left, and what the shared state still has of them. Where hosts share state (CHAMSAE_SHARED_STATE), talkers, "
        "workers and web servers run it every 10 minutes."
    )
    examples = """
        manage.py tidy_host
    """

    def handle(self, *args: Any, **options: Any) -> None:
        failed = host_tidying.tidy()
        told = "".join(f"\n{part}: {error}" for part, error in failed.items())
        text = f"Not all was tidied; what is left is found the next time.{told}" if failed else "Tidied."
        self.finish({"tidied": not failed, "failed": failed}, Exit.FAILED if failed else Exit.DONE, text)
