"""Errors of exporting judgements; the text of each is shown to people."""

from django.utils.translation import gettext as _


class ExportRefused(Exception):
    """Base of all of them. Nothing was written."""

    code = "export_refused"


class ParquetUnavailable(ExportRefused):
    code = "parquet_unavailable"

    def __str__(self) -> str:
        return _(
            "Parquet files need the package pyarrow, which is not installed here: install 'chamsae[train]', or "
            "choose JSONL."
        )


class LinesOnly(ExportRefused):
    code = "lines_only"

    def __init__(self, format_key: str) -> None:
        super().__init__(format_key)
        self.format_key = format_key

    def __str__(self) -> str:
        return _("The format %(format)s is written as JSONL only.") % {"format": self.format_key}


class WouldOverwrite(ExportRefused):
    code = "would_overwrite"

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return _("%(path)s exists and is not an empty folder. Name another one.") % {"path": self.path}
