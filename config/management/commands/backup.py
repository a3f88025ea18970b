"""`manage.py backup`: writes the whole state of a running site into one encrypted file."""

import getpass
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from base.commands import ChamsaeCommand, Exit
from config.backup import making
from config.backup.errors import BackupError


class Command(ChamsaeCommand):
    help = (
        "Writes database, models, runs, uploads and keys into one encrypted file, while the site runs. The "
        "passphrase comes from CHAMSAE_BACKUP_PASSPHRASE, else it is asked for; without it nobody can read the file."
    )
    examples = """
        manage.py backup /mnt/backups/monday.chamsae
        manage.py backup --verify /mnt/backups/monday.chamsae
    """
    failures = (BackupError,)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", type=Path, metavar="FILE", help="the file to write")
        parser.add_argument(
            "--verify", action="store_true", help="write nothing: read an existing backup and check every hash"
        )

    def handle(self, *args: Any, file: Path, verify: bool, **options: Any) -> None:
        if verify and not file.is_file():
            raise CommandError(f"there is no file {file}", returncode=Exit.USAGE)
        passphrase = asked_passphrase(twice=not verify)
        with self.progress("Verifying" if verify else "Backing up") as meter:
            if verify:
                found = making.verify(file, passphrase, meter)
                result = {"ok": True, "files": len(found["files"]), "made_at": found["made_at"]}
            else:
                result = {"file": str(file), **making.make(file, passphrase, progress=meter)}
        self.finish(result)


def asked_passphrase(*, twice: bool = False) -> str:
    """Of the settings, else from the terminal. CommandError where there is none to ask."""
    if settings.BACKUP_PASSPHRASE:
        return str(settings.BACKUP_PASSPHRASE)
    if not sys.stdin.isatty():
        raise CommandError("set CHAMSAE_BACKUP_PASSPHRASE, or type it at a terminal", returncode=Exit.USAGE)
    given = getpass.getpass("Passphrase: ")
    if twice and getpass.getpass("Once more: ") != given:
        raise CommandError("the two passphrases differ", returncode=Exit.USAGE)
    return given
