"""`manage.py fsck`: checks the site's promises against the database, the models and the processes."""

from dataclasses import asdict
from typing import Any

from base import fsck
from base.commands import ChamsaeCommand, Exit


class Command(ChamsaeCommand):
    help = "Checks the site's invariants in the database, the models and the processes. Changes nothing."
    examples = """
        manage.py fsck
        manage.py fsck --json
    """

    def handle(self, *args: Any, **options: Any) -> None:
        found, checks = [], fsck.all_checks()
        with self.progress("Checking") as meter:
            for step, (promise, check) in enumerate(checks):
                meter(step, len(checks), check.__name__.replace("_", " "))
                found += [fsck.Problem(promise, text) for text in fsck.told_by(check)]
            meter(len(checks), len(checks))
        report = "\n".join(f"promise {problem.promise}: {problem.text}" for problem in found)
        result = {"ok": not found, "checked": len(checks), "problems": [asdict(problem) for problem in found]}
        self.finish(result, Exit.FAILED if found else Exit.DONE, report or "all invariants hold")
