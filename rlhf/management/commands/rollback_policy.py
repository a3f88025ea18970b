"""`rollback_policy`: makes the former version live again."""

from typing import Any

from django.core.management.base import CommandParser

from rlhf.commands import RlhfCommand, user_by_name
from rlhf.release import promotion


class Command(RlhfCommand):
    help = "Makes the previous policy live again. Exit code 3: there is none."
    examples = """
        manage.py rollback_policy --reason "it became rude"
        manage.py rollback_policy --by admin --reason "complaints" --json
    """

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--by", metavar="USER", help="username of the person who takes responsibility")
        parser.add_argument("--reason", default="rolled back from the command line", help="recorded in the audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        made = promotion.rollback(actor=user_by_name(options["by"]), reason=options["reason"])
        self.finish({"policy": made.policy.name, "previous": made.previous.name if made.previous else None})
