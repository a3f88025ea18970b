"""`export_judgements`: writes what may train as a data set for others, or for this site's own import."""

import sys
import tempfile
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from accounts import audit
from base.commands import Exit
from feedback.models import Project, site_project
from rlhf.commands import RlhfCommand
from rlhf.exports import writing
from rlhf.exports.columns import FORMATS
from rlhf.exports.errors import ExportRefused
from rlhf.exports.watching import WATCHING


class Command(RlhfCommand):
    help = (
        "Exports judgements that may train, with their weight, annotators' pseudonyms, project, guidelines, order "
        "shown, language, consent and split. --output names a folder, which gets a card and a file for each side of "
        "the split, or a file that ends in .jsonl or .parquet; without it, JSONL goes to stdout. langfuse and mlflow "
        "are for programs that watch replies: requests of Langfuse's ingestion API, and traces of MLflow with their "
        "assessments. Project keys: the page of projects."
    )
    examples = """
        manage.py export_judgements --format trl-preference --output preferences
        manage.py export_judgements --project site --format rankings --as parquet --output rankings.parquet
        manage.py export_judgements --format trl-kto > thumbs.jsonl
        manage.py export_judgements --format langfuse --output watched
    """
    failures = (*RlhfCommand.failures, ExportRefused)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--project", metavar="KEY", help="one project (default: all)")
        parser.add_argument("--format", required=True, choices=[*FORMATS, *WATCHING])
        parser.add_argument("--as", dest="kind", default="jsonl", choices=[*writing.KINDS])
        parser.add_argument("--output", type=Path, metavar="FILE|DIR")
        parser.add_argument("--licence", default="", help="of the card (default CHAMSAE_EXPORT_LICENCE)")

    def handle(self, *args: Any, **options: Any) -> None:
        project = _project(options["project"])
        wanted = writing.ExportRequest(
            options["format"], options["kind"], project.key if project is not None else None, options["licence"]
        )
        output: Path | None = options["output"]
        if output is None and (wanted.kind != "jsonl" or self.as_json):
            raise CommandError("name a file or a folder by --output", returncode=Exit.USAGE)
        with transaction.atomic():
            written = self.written(output, wanted)
            target = project or Project.objects.get(pk=site_project())
            after = {"format": wanted.format_key, "as": wanted.kind, "all_projects": project is None}
            audit.record(None, "exports.make", target, after={**after, "rows": written.counts["rows"]})
        if output is not None:
            self.finish({"output": str(output), **written.counts, "sha256": dict(written.sha256)})

    def written(self, output: Path | None, wanted: writing.ExportRequest) -> writing.ExportResult:
        if output is None:
            return _to_stdout(wanted)
        if output.suffix in writing.KINDS.values():
            if output.suffix != writing.KINDS[wanted.kind]:
                raise CommandError(f"{output}: add --as {output.suffix[1:]}", returncode=Exit.USAGE)
            return writing.write_one(output, wanted)
        return writing.write_folder(output, wanted)


def _project(key: str | None) -> Project | None:
    if key is None:
        return None
    found = Project.objects.filter(key=key).first()
    if found is None:
        known = ", ".join(Project.objects.values_list("key", flat=True)) or "none yet"
        raise CommandError(f"there is no project {key!r}; known: {known}", returncode=Exit.USAGE)
    return found


def _to_stdout(wanted: writing.ExportRequest) -> writing.ExportResult:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        written = writing.write_one(path, wanted)
        sys.stdout.write(path.read_text(encoding="utf-8"))
    return written
