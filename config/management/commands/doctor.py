"""`manage.py doctor`: reports what is missing and which command fixes it."""

from typing import Any

from django.core.management import CommandError

from base.commands import ChamsaeCommand, Exit
from config.doctor import Finding, examine

SIGNS = {"ok": "ok", "note": "note", "warning": "warning", "missing": "MISSING"}


class Command(ChamsaeCommand):
    needs_tables = False
    help = "Checks what the site, training and the tests need, and prints the command that fixes each problem."
    examples = """
        manage.py doctor
        manage.py doctor --json
    """

    def handle(self, *args: Any, **options: Any) -> None:
        findings = list(examine())
        missing = [finding.name for finding in findings if finding.level == "missing"]
        result = {"ok": not missing, "missing": missing, "findings": [finding.as_dict() for finding in findings]}
        self.finish(result, text="\n".join(map(_line_of, findings)))
        if missing:
            raise CommandError(f"missing: {', '.join(missing)}", returncode=Exit.FAILED)


def _line_of(finding: Finding) -> str:
    fix = f"\n{'':>10}-> {finding.fix}" if finding.fix else ""
    return f"{SIGNS[finding.level]:>8}  {finding.name}: {finding.says}{fix}"
