"""`canary`: lets a policy that the gate passed answer a share of the chats, says how that goes, or ends it."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.models import User
from base.commands import Exit
from rlhf.commands import RlhfCommand, policy_by_name, user_by_name
from rlhf.models import Canary
from rlhf.release import canary, canary_rows


class Command(RlhfCommand):
    help = (
        "Lets a policy that the gate passed answer a share of the chats, until people's choices there decide on it. "
        "Without a policy: counts the choices now, decides if they do, and prints the state."
    )
    examples = """
        manage.py canary policy-3 --percent 10 --by admin
        manage.py canary
        manage.py canary --stop --by admin
    """

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("policy", nargs="?", help="name of the policy, for example policy-3")
        parser.add_argument("--percent", type=int, help="share of the chats that may train, from 1 to 100")
        parser.add_argument(
            "--undecided", choices=("withdraw", "promote"), default="", help="what happens where the time is up"
        )
        parser.add_argument("--stop", action="store_true", help="end the one that runs, without a decision")
        parser.add_argument("--by", metavar="USER", help="username of the admin who begins or ends it")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["stop"]:
            self.stop(_admin(options["by"]))
        elif options["policy"] is None:
            found = canary.check() or Canary.objects.first()
            if found is None:
                self.finish({"canary": None}, Exit.NOTHING_TO_DO, "no policy has answered a share of the chats yet")
            else:
                self.finish(_told(found))
        else:
            policy, actor = policy_by_name(options["policy"]), _admin(options["by"])
            begun = canary.begin(policy, actor=actor, percent=options["percent"], undecided=options["undecided"])
            self.finish(_told(begun))

    def stop(self, actor: User) -> None:
        running = canary_rows.running()
        if running is None or not canary.stop(running, actor=actor):
            self.finish({"canary": None}, Exit.NOTHING_TO_DO, "no policy answers a share of the chats")
        else:
            self.finish(_told(running))


def _admin(name: str | None) -> User:
    found = user_by_name(name)
    if found is None:
        raise CommandError("say which admin does it: --by USER", returncode=Exit.USAGE)
    return found


def _told(row: Canary) -> dict[str, Any]:
    figures = {name: value for name, value in row.figures.items() if name != "course"}
    return {
        "canary": row.pk,
        "policy": row.policy.name,
        "percent": row.percent,
        "state": str(row.state),
        "why": str(row.why),
        "until": row.until.isoformat(),
        **figures,
    }
