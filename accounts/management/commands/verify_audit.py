"""`manage.py verify_audit`: verifies the whole audit log against its seals and its heads outside of the database."""

from typing import Any

from accounts import audit_checks
from base.commands import ChamsaeCommand, Exit


class Command(ChamsaeCommand):
    help = (
        "Verifies the whole audit log: finds entries that were changed, removed, exchanged or added outside of the "
        "site, and a log that was cut off or rewritten. Changes nothing but the time of the last verification."
    )
    examples = """
        manage.py verify_audit
        manage.py verify_audit --json
    """

    def handle(self, *args: Any, **options: Any) -> None:
        result = audit_checks.check_whole()
        without = [place for place, newest in result.places.items() if result.entries and not newest]
        told = [*map(str, result.faults), *(f"{place} has no head of the log: was it removed?" for place in without)]
        found = {"ok": not told, "entries": result.entries, "heads": result.places, "faults": told}
        sound = f"{result.entries} entries, every seal intact"
        self.finish(found, Exit.FAILED if told else Exit.DONE, "\n".join(told) or sound)
