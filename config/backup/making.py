"""Makes a backup of a site while it runs: files first, then the database, then the files that came meanwhile.

What a row of the database names was there before the row, so one of the two looks at the folders finds it.
"""

import json
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts.models import AuditEntry, User
from chat import site_choices
from config.backup import contents, databases
from config.backup.encryption import OpeningReader, SealingWriter
from config.backup.errors import BackupError

SHORTEST = 12
"""Characters of a passphrase: whoever finds the file may try as many as a machine can."""
LEFT_OVER_S = 24 * 3600
Progress = Callable[[int, int], None]
"""Is told of the bytes that are done and of all."""


def make(target: Path, passphrase: str, *, by: User | None = None, progress: Progress = lambda done, of: None) -> Any:
    """{"files", "bytes", "database"} of a new file that is there whole or not at all. Raises BackupError."""
    if len(passphrase) < SHORTEST:
        raise BackupError(f"the passphrase is too short: give at least {SHORTEST} characters")
    if target.exists():
        raise BackupError(f"{target} exists: name another file")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remove_leftovers()
    staging = Path(tempfile.mkdtemp(prefix="tmp-backup-", dir=settings.HOME))
    draft = target.with_name(f".{target.name}.part")
    try:
        facts = _stage(staging)
        total = sum(path.stat().st_size for path in staging.rglob("*") if path.is_file())
        hashes = _write(staging, draft, passphrase, facts, counted(progress, total))
        os.replace(draft, target)
    except OSError as error:
        raise BackupError(f"the backup could not be written: {error}") from error
    finally:
        draft.unlink(missing_ok=True)
        shutil.rmtree(staging, ignore_errors=True)
    made = {"files": len(hashes), "bytes": target.stat().st_size, "database": databases.file_name()}
    with transaction.atomic():
        audit.record(by, "backup.make", site_choices.get(), after={"name": target.name, **made})
    return made


def verify(source: Path, passphrase: str, progress: Progress = lambda done, of: None) -> dict[str, Any]:
    """The backup's list, once all of it was read and every hash found right. Raises BackupError."""
    with source.open("rb") as file, OpeningReader(file, passphrase) as opened:
        return contents.unpack(opened, None, counted(progress, source.stat().st_size))  # type: ignore[arg-type]


def _stage(staging: Path) -> dict[str, Any]:
    contents.link_state(staging)
    heads = Path(settings.AUDIT_HEADS[0])
    databases.copy_to(staging / databases.file_name())
    contents.link_state(staging)
    if heads.exists():
        shutil.copy2(heads, staging / contents.HEADS)
    keys = {"secret_key": settings.SECRET_KEY, "audit_keys": settings.AUDIT_KEYS}
    (staging / contents.KEYS).write_text(json.dumps(keys))
    return {"made_at": timezone.now().isoformat(), "last_entry": _newest_entry()}


def _remove_leftovers() -> None:
    """Of backups whose process was killed; they are links for the most part, and keep what the site removed."""
    for folder in Path(settings.HOME).glob("tmp-backup-*"):
        if time.time() - folder.stat().st_mtime > LEFT_OVER_S:
            shutil.rmtree(folder, ignore_errors=True)


def _newest_entry() -> int:
    return AuditEntry.objects.values_list("sequence", flat=True).first() or 0


def _write(staging: Path, draft: Path, passphrase: str, facts: dict[str, Any], told: contents.Told) -> dict[str, str]:
    with open(draft, "xb", opener=_private) as file:
        with SealingWriter(file, passphrase) as sealed:
            hashes = contents.pack(staging, sealed, facts, told)  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())
    return hashes


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def counted(progress: Progress, total: int) -> contents.Told:
    done: Counter[str] = Counter()

    def told(count: int) -> None:
        done["bytes"] += count
        progress(done["bytes"], total)

    return told
