"""`manage.py seed_demo`: makes the demo accounts, rules and prompts that are missing."""

from typing import Any

from django.core.management import CommandError

from accounts import demo
from accounts.models import User
from base.commands import ChamsaeCommand, Exit
from feedback import seed
from feedback.models import Prompt, Rule


class Command(ChamsaeCommand):
    help = "Creates the demo accounts (only with CHAMSAE_DEBUG=1), rules and prompts that are missing."
    examples = """
        CHAMSAE_DEBUG=1 manage.py seed_demo
        CHAMSAE_DEBUG=1 manage.py seed_demo --json
    """
    failures = (demo.DemoRefused,)

    def handle(self, *args: Any, **options: Any) -> None:
        before = _counted()
        demo.create_accounts()
        seed.load()
        after = _counted()
        added = {name: after[name] - before[name] for name in after}
        self.finish({"added": added, "there": after})
        if not any(added.values()):
            raise CommandError("everything is already there", returncode=Exit.NOTHING_TO_DO)


def _counted() -> dict[str, int]:
    return {
        "accounts": User.objects.filter(is_simulated=False).count(),
        "rules": Rule.objects.count(),
        "prompts": Prompt.objects.count(),
    }
