"""Errors of importing a file; the text of each is shown to people."""

from datetime import datetime

from django.utils.formats import date_format
from django.utils.translation import gettext as _


class JudgementImportRefused(Exception):
    """Base of all of them. When one is raised, nothing more was stored than is said."""

    code = "import_refused"


class UnreadableImport(JudgementImportRefused):
    code = "bad_file"

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return _("The file cannot be read: %(problem)s.") % {"problem": self.problem}


class ImportTooLarge(JudgementImportRefused):
    code = "file_too_large"

    def __init__(self, limit_mb: int) -> None:
        super().__init__(limit_mb)
        self.limit_mb = limit_mb

    def __str__(self) -> str:
        return _(
            "The file is larger than %(limit)d MB, packed or unpacked. Divide it, or import it by the command "
            "manage.py import_judgements."
        ) % {"limit": self.limit_mb}


class NothingToImport(JudgementImportRefused):
    """`first`: the first lines that were left out, as text."""

    code = "nothing_to_import"

    def __init__(self, lines: int, first: str) -> None:
        super().__init__(lines, first)
        self.lines, self.first = lines, first

    def __str__(self) -> str:
        said = _("No line of the file is a judgement in this format, so nothing was imported. Choose another format.")
        return f"{said} {self.first}".rstrip()


class AlreadyImported(JudgementImportRefused):
    code = "already_imported"

    def __init__(self, number: int, at: datetime) -> None:
        super().__init__(number, at)
        self.number, self.at = number, at

    def __str__(self) -> str:
        return _("This file was imported on %(day)s (import %(number)d). Nothing was changed.") % {
            "day": date_format(self.at),
            "number": self.number,
        }


class ImportUnderWay(JudgementImportRefused):
    code = "import_under_way"

    def __str__(self) -> str:
        return _("Somebody else is importing the same file at this moment. Look at it again in a minute.")


class PyarrowMissing(JudgementImportRefused):
    code = "pyarrow_missing"

    def __str__(self) -> str:
        return _("Parquet files need the package pyarrow: pip install 'chamsae[train]', or use JSONL.")
