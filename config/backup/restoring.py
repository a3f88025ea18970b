"""Restores a site that does not run from a backup: all of it is checked first, and the former state is kept aside."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts import audit, audit_heads
from accounts.models import AuditEntry
from chat import site_choices
from config import env
from config.backup import contents, databases, making
from config.backup.encryption import OpeningReader
from config.backup.errors import BackupError
from config.processes import only_site_of
from config.secret import AUDIT_KEY_FILE, SECRET_KEY_FILE


def restore(source: Path, passphrase: str, progress: making.Progress = lambda done, of: None) -> dict[str, Any]:
    """{"files", "made_at", "aside"}. Raises BackupError, SiteRunning; then the state is as it was, but where a disk
    failed in the middle: both states are in the home then, and the error says where."""
    home = Path(settings.HOME)
    with only_site_of(home, 0):
        staging = Path(tempfile.mkdtemp(prefix="tmp-restore-", dir=home))
        aside = home / f"before-restore-{timezone.now():%Y%m%d-%H%M%S}"
        try:
            found = _unpack(source, passphrase, staging, progress)
            aside.mkdir(mode=0o700)
            _put_back(staging, aside)
        except OSError as error:
            raise BackupError(f"{error}; the former state is in {aside}, the restored one in {staging}") from error
        except BackupError:
            shutil.rmtree(staging, ignore_errors=True)
            with contextlib.suppress(OSError):  # not there yet, or not empty
                aside.rmdir()
            raise
        shutil.rmtree(staging, ignore_errors=True)
    _finish_in_a_process_of_the_restored_keys(source)
    return {"files": len(found["files"]), "made_at": found["made_at"], "aside": str(aside)}


def finish(name: str) -> None:
    """The restored database tells that it was: in its audit log, and in the heads beside it."""
    with transaction.atomic():
        newest = AuditEntry.objects.first()
        sequence, seal = (newest.sequence, newest.hash) if newest else (0, "")
        audit_heads.write(sequence, seal, is_restored=True)
        audit.record(None, "site.restore", site_choices.get(), after={"name": name, "last_entry": sequence})


def _unpack(source: Path, passphrase: str, staging: Path, progress: making.Progress) -> dict[str, Any]:
    if not source.is_file():
        raise BackupError(f"there is no file {source}")
    told = making.counted(progress, source.stat().st_size)
    with source.open("rb") as file, OpeningReader(file, passphrase) as opened:
        found = contents.unpack(opened, staging, told)  # type: ignore[arg-type]
    if not (staging / databases.file_name()).exists():
        raise BackupError(
            "this backup is of a site on another kind of database: set DATABASE_URL to PostgreSQL for "
            f"{databases.POSTGRESQL}, and remove it for {databases.SQLITE}"
        )
    return found


def _put_back(staging: Path, aside: Path) -> None:
    databases.put_back(staging / databases.file_name(), aside)
    for name, setting in contents.FOLDERS.items():
        _exchange(staging / name, Path(getattr(settings, setting)), aside / name)
    _exchange_file(staging / contents.HEADS, Path(settings.AUDIT_HEADS[0]), aside)
    keys = json.loads((staging / contents.KEYS).read_text())
    _put_key(Path(settings.HOME) / AUDIT_KEY_FILE, keys["audit_keys"][0], aside)
    if not env.text("CHAMSAE_SECRET_KEY"):
        _put_key(Path(settings.HOME) / SECRET_KEY_FILE, keys["secret_key"], aside)


def _exchange(new: Path, place: Path, aside: Path) -> None:
    new.mkdir(mode=0o700, exist_ok=True)  # a folder without a file is not in the backup
    if place.exists():
        shutil.move(place, aside)
    shutil.move(new, place)


def _exchange_file(new: Path, place: Path, aside: Path) -> None:
    if place.exists():
        shutil.move(place, aside / place.name)
    if new.exists():
        shutil.move(new, place)


def _put_key(place: Path, key: str, aside: Path) -> None:
    if place.exists():
        shutil.move(place, aside / place.name)
    place.touch(mode=0o600)
    place.write_text(key)


def _finish_in_a_process_of_the_restored_keys(source: Path) -> None:
    """This process read the keys of before when it started. An older database comes up to date there, too."""
    manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
    for words in (["migrate", "--verbosity", "0", "--no-input"], ["restore", "--finish", source.name]):
        done = subprocess.run([*manage, *words], env=dict(os.environ), capture_output=True, text=True, check=False)
        if done.returncode:
            raise BackupError(f"the state is restored, but {' '.join(words)} failed: {done.stderr.strip()[-1000:]}")
