"""`manage.py restore`: brings a site back to the state in a backup."""

from argparse import SUPPRESS
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from base.commands import ChamsaeCommand
from config.backup import restoring
from config.backup.errors import BackupError
from config.management.commands.backup import asked_passphrase
from config.processes import SiteRunning


class Command(ChamsaeCommand):
    help = (
        "Restores database, models, runs, uploads and keys from a backup. The site must not run, on any host. All of "
        "the file is checked before anything changes; the former files are moved to before-restore-TIME in "
        "CHAMSAE_HOME. PostgreSQL's database, which DATABASE_URL names, is replaced in one transaction. Whoever was "
        "signed in when the backup was made is signed in again."
    )
    examples = """
        manage.py restore /mnt/backups/monday.chamsae
    """
    failures = (BackupError, SiteRunning)
    needs_tables = False

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", type=Path, metavar="FILE", help="a file that `backup` wrote")
        parser.add_argument("--finish", action="store_true", help=SUPPRESS)

    def handle(self, *args: Any, file: Path, finish: bool, **options: Any) -> None:
        if finish:  # called by the first half, in a process that has the restored keys
            restoring.finish(file.name)
            return
        passphrase = asked_passphrase()
        with self.progress("Restoring") as meter:
            result = restoring.restore(file, passphrase, meter)
        self.note("Check it with `manage.py fsck` and `manage.py verify_audit`, then start the site.")
        self.finish(result)
