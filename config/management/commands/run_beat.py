"""`manage.py run_beat`: the scheduler of the site's tasks, in a process of its own."""

from typing import Any

from django.core.management import CommandParser

from base.commands import ChamsaeCommand
from config import roles


class Command(ChamsaeCommand):
    needs_tables = False
    help = (
        "Sends the site's tasks when they are due. Several may run, on any machine: one of them sends, and another "
        "takes over within half a minute when it is gone."
    )
    examples = """
        manage.py run_beat
    """

    def add_arguments(self, parser: CommandParser) -> None:
        pass  # it has no result to print

    def handle(self, *args: Any, **options: Any) -> None:
        roles.become(roles.scheduler())
