"""Reads the first sheet of an XLSX file as rows, after checking how large it would unpack."""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

from django.conf import settings
from django.utils.translation import gettext as _
from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from fine_tuning.data.tables import named_rows
from fine_tuning.errors import LineProblem

UNPACKED_MB = 32
"""A sheet of text that unpacks to more is a file for JSON lines: openpyxl takes seconds for each megabyte."""
MOST_PACKED = 50
"""How many times its size a file above a megabyte may unpack to; sheets of text unpack to some ten times theirs."""
MAX_PARTS = 200
MAX_COLUMNS = 16
BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    InvalidFileException,
    ParseError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    OSError,
    EOFError,
)
"""What openpyxl and zipfile raise on broken files, as random damage to one has shown."""


def rows(path: Path) -> Iterator[tuple[int, Any]]:
    """(number, row as an object or a LineProblem), as fine_tuning.data.formats has them."""
    problem = _refusal(path)
    if problem is not None:
        yield 1, problem
        return
    number, is_empty = 1, True
    try:
        for number, row in named_rows(_cells_of(path)):
            is_empty = False
            yield number, row
        if is_empty:
            yield (
                1,
                LineProblem(1, "empty_sheet", _("the first sheet has no examples, and other sheets are not read")),
            )
    except BROKEN:
        yield number, LineProblem(number, "not_a_table", _("not a readable Excel file"))


def _refusal(path: Path) -> LineProblem | None:
    """By the sizes that the archive declares: Python never unpacks more than that."""
    most = min(UNPACKED_MB << 20, max(1 << 20, path.stat().st_size * MOST_PACKED))
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            if len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > most:
                return LineProblem(1, "packed", _("it would unpack to more than %(size)d MB") % {"size": most >> 20})
            if any(part.flag_bits & 1 for part in parts):
                return LineProblem(1, "packed", _("it is protected by a password"))
    except (zipfile.BadZipFile, OSError, ValueError):
        return LineProblem(1, "not_a_table", _("not a readable Excel file"))
    return None


def _cells_of(path: Path) -> Iterator[tuple[int, list[Any]]]:
    """Only as many rows and columns as are used: a sheet may claim to have a million of each."""
    with path.open("rb") as file:  # opened here: openpyxl refuses paths without .xlsx, and uploads are named by id
        book = load_workbook(file, read_only=True, data_only=True, keep_links=False)
        try:
            for sheet in book.worksheets[:1]:
                found = sheet.iter_rows(max_row=settings.UPLOAD_LINES + 2, max_col=MAX_COLUMNS, values_only=True)
                yield from ((number, list(cells)) for number, cells in enumerate(found, start=1))
        finally:
            book.close()
