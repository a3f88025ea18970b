"""`promote_policy`: makes a policy live that passed the gate, or that an admin forces."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from base.commands import Exit
from chat.models import Policy
from rlhf.commands import RlhfCommand, policy_by_name, user_by_name
from rlhf.errors import CannotPromote
from rlhf.models import Decision, Promotion
from rlhf.release import promotion


class Command(RlhfCommand):
    help = (
        "Makes a policy live. It must have passed the gate, unless an admin forces the promotion and gives a reason."
    )
    examples = """
        manage.py promote_policy policy-3
        manage.py promote_policy policy-3 --force --by admin --reason "the judge overrates long replies"
    """

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("policy", help="name of the policy, for example policy-3")
        parser.add_argument("--force", action="store_true", help="promote without the gate; needs --by and --reason")
        parser.add_argument("--by", metavar="USER", help="username of the admin who takes responsibility")
        parser.add_argument("--reason", default="", help="recorded in the audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        policy = policy_by_name(options["policy"])
        if policy.is_live:
            self.finish({"policy": policy.name, "live": True}, Exit.NOTHING_TO_DO, f"{policy.name} is already live")
        made = self.forced(policy, options) if options["force"] else self.by_the_gate(policy, options)
        previous = made.previous.name if made.previous else None
        self.finish({"policy": policy.name, "previous": previous, "kind": made.kind, "live": True})

    def forced(self, policy: Policy, options: dict[str, Any]) -> Promotion:
        actor = user_by_name(options["by"])
        if actor is None or not options["reason"].strip():
            raise CommandError("--force needs --by USER and --reason TEXT", returncode=Exit.USAGE)
        return promotion.force(policy, actor=actor, reason=options["reason"])

    def by_the_gate(self, policy: Policy, options: dict[str, Any]) -> Promotion:
        decision = Decision.objects.filter(evaluation__policy=policy).order_by("-pk").first()
        if decision is None:
            raise CannotPromote(policy.name, [f"it was never evaluated: manage.py evaluate_policy {policy.name}"])
        return promotion.promote(decision, actor=user_by_name(options["by"]))
