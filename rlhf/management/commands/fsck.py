"""`fsck`: holds the site's promises against what is there."""

from dataclasses import asdict
from typing import Any

from accounts.commands import Exit
from rlhf import fsck
from rlhf.commands import RlhfCommand


class Command(RlhfCommand):
    help = "Checks the promises of the site on the database, the models and the processes. Changes nothing."
    examples = """
        manage.py fsck
        manage.py fsck --json
    """

    def handle(self, *args: Any, **options: Any) -> None:
        found = []
        with self.progress("Checking") as meter:
            for step, (promise, check) in enumerate(fsck.CHECKS):
                meter(step, len(fsck.CHECKS), check.__name__.replace("_", " "))
                found += [fsck.Problem(promise, text) for text in check()]
            meter(len(fsck.CHECKS), len(fsck.CHECKS))
        told = "\n".join(f"promise {problem.promise}: {problem.text}" for problem in found)
        result = {"ok": not found, "checked": len(fsck.CHECKS), "problems": [asdict(problem) for problem in found]}
        self.finish(result, Exit.FAILED if found else Exit.DONE, told or "all promises hold")
