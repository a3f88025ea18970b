"""`manage.py prepare_data`: does what `openai tools fine_tunes.prepare_data` did, without that package."""

import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from base.commands import ChamsaeCommand, Exit
from fine_tuning.data import prepared_files
from fine_tuning.data.formats import Row
from fine_tuning.data.preparing import Change, Prepared, prepare
from fine_tuning.data.survey import survey
from fine_tuning.errors import TuningError

WIDTH = 200


class Command(ChamsaeCommand):
    help = (
        "Prepares a file of examples for fine-tuning: shows each change, asks, and writes JSONL. Nothing is uploaded."
    )
    examples = """
        manage.py prepare_data guide.csv
        manage.py prepare_data guide.txt -o guide.jsonl --yes
        manage.py prepare_data guide.jsonl --yes --json
    """
    failures = (TuningError, OSError)
    needs_tables = False

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", type=Path, help="JSONL, CSV, TSV, XLSX or plain text")
        parser.add_argument("-o", "--output", type=Path, help="default: the file's name with _prepared.jsonl")
        parser.add_argument("--yes", action="store_true", help="make every change without asking")

    def handle(self, *args: Any, file: Path, output: Path | None, yes: bool, **options: Any) -> None:
        if not file.is_file():
            raise CommandError(f"there is no file {file}", returncode=Exit.USAGE)
        found = survey(file, file.name)
        rows = prepared_files.numbered_rows(file, file.name)
        proposed = prepare(found.form, rows)
        for hint in proposed.hints:
            self.note(f"- {hint}")
        chosen = [change.code for change in proposed.changes if self.accepts(change, yes=yes)]
        prepared = prepare(found.form, rows, chosen)
        is_jsonl = file.suffix.lower() == ".jsonl"
        if not chosen and is_jsonl and output is None:
            result = {"written": [], "rows": len(prepared.rows), "changes": []}
            self.finish(result, text=f"nothing to do: {file} can be used as it is")
            return
        written = _write(prepared, file, output)
        done = [{"code": change.code, "lines": change.count} for change in proposed.changes if change.code in chosen]
        result = {"written": [str(path) for path in written], "rows": len(prepared.rows), "changes": done}
        self.finish(result, text="\n".join(f"wrote {path}" for path in written))

    def accepts(self, change: Change, *, yes: bool) -> bool:
        self.note(f"- {change.title} ({change.count})")
        for sample in change.samples[:2]:
            self.note(f"    {sample.line}: {_shown(sample.before)} -> {_shown(sample.after)}")
        if change.code == "empty" or yes:
            return True
        if not sys.stdin.isatty():
            raise CommandError("there is no terminal to ask on; use --yes", returncode=Exit.USAGE)
        return input("  [Y/n] ").strip().lower() not in ("n", "no")


def _shown(row: Row | None) -> str:
    """A line as it would be written to the file."""
    return "removed" if row is None else _shorten(json.dumps(row, ensure_ascii=False))


def _shorten(text: str) -> str:
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"


def _write(prepared: Prepared, file: Path, output: Path | None) -> list[Path]:
    """Two files for classification data, unless an output was named."""
    split = output is None and prepared_files.should_split(prepared)
    written = []
    for name, rows in prepared_files.split_rows(prepared, split=split).items():
        target = output or file.with_name(f"{file.stem}{name}.jsonl")
        with target.open("wb") as stream:
            stream.writelines(prepared_files.jsonl_lines(rows))
        written.append(target)
    return written
