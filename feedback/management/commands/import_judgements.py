"""`manage.py import_judgements`: stores rankings, rule flags, thumbs and replies that people made elsewhere."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from base.commands import ChamsaeCommand, Exit
from feedback.imports import left_out
from feedback.imports.errors import AlreadyImported, JudgementImportRefused, NothingToImport
from feedback.imports.formats import FORMATS
from feedback.imports.importing import import_file
from feedback.models import Project, site_project

MOST_MB = 4000


class Command(ChamsaeCommand):
    help = (
        "Imports judgements that people made elsewhere, from a file of JSON lines, one JSON list or Parquet, packed "
        "by gzip or not. Says what it leaves out and why. The people become annotators labelled imported, who cannot "
        "sign in and qualify no judge. Works while a site is running; stopped, the same command goes on from there. "
        "Exit code 3: no line can be used, or the file is here already."
    )
    examples = """
        manage.py import_judgements --format oasst 2023-04-12_oasst_ready.trees.jsonl.gz
        manage.py import_judgements --format hh-rlhf --project harmless train.jsonl.gz --json
        manage.py import_judgements --format trl-preference preferences.parquet
    """
    failures = (JudgementImportRefused,)
    nothing = (AlreadyImported, NothingToImport)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", type=Path, help="the file to import")
        parser.add_argument(
            "--project", default=Project.SITE, metavar="KEY", help="the project (default: the site's)"
        )
        parser.add_argument("--format", required=True, choices=[*FORMATS], help="which tool wrote it")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        if not path.is_file():
            raise CommandError(f"{path} is not a file", returncode=Exit.USAGE)
        project = _project(options["project"])
        with self.progress("Import") as meter:
            made = import_file(
                path,
                options["format"],
                project,
                name=path.name,
                by=None,
                limit_mb=MOST_MB,
                on_progress=lambda done, of: meter(done, of),
            )
        for one in left_out.listed(made):
            self.note(f"{path.name}:{one.line}: {one.reason} {one.about}".rstrip())
        counts = ("rankings", "flags", "thumbs", "demonstrations", "lines_left_out")
        result = {"import": made.pk, **{name: getattr(made, name) for name in counts}}
        self.finish({**result, "lines": made.lines_done, "left_out_because": dict(left_out.counted(made))})


def _project(key: str) -> Project:
    if key == Project.SITE:
        return Project.objects.get(pk=site_project())
    found = Project.objects.filter(key=key).first()
    if found is None:
        raise CommandError(f"there is no project {key!r}", returncode=Exit.USAGE)
    return found
