"""The backups that are kept: one is made when it is due, verified, and removed after some days."""

import json
import logging
import os
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from accounts.models import User
from base.host_lock import if_free
from config.backup import making
from config.backup.errors import BackupError

ENDING = ".chamsae"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verified:
    """The last time that a backup was read from its beginning to its end."""

    at: str
    problem: str = ""

    @property
    def time(self) -> datetime:
        return datetime.fromisoformat(self.at)


@dataclass(frozen=True)
class KeptBackup:
    path: Path
    bytes: int
    made_at: datetime
    verified: Verified | None

    @property
    def name(self) -> str:
        return self.path.name


def kept() -> list[KeptBackup]:
    """Those in the folder of the settings, the newest first."""
    found = [_read(path) for path in Path(settings.BACKUP_DIR).glob(f"*{ENDING}")]
    return sorted(found, key=lambda backup: backup.made_at, reverse=True)


def _read(path: Path) -> KeptBackup:
    facts = path.stat()
    beside = _beside(path)
    verified = Verified(**json.loads(beside.read_text())) if beside.exists() else None
    return KeptBackup(
        path, facts.st_size, datetime.fromtimestamp(facts.st_mtime, timezone.get_current_timezone()), verified
    )


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def is_due() -> bool:
    if not settings.BACKUP_HOURS or not settings.BACKUP_PASSPHRASE:
        return False
    newest = next(iter(kept()), None)
    return newest is None or newest.made_at < timezone.now() - timedelta(hours=settings.BACKUP_HOURS)


def make(by: User | None = None) -> KeptBackup | None:
    """A new one, verified; None where another process is at it. Raises BackupError."""
    with if_free("backup") as is_free:
        if not is_free:
            return None
        path = Path(settings.BACKUP_DIR) / f"chamsae-{timezone.now():%Y%m%d-%H%M%S-%f}{ENDING}"
        making.make(path, settings.BACKUP_PASSPHRASE, by=by)
        return verify(path)


def verify(path: Path) -> KeptBackup:
    """Reads it whole, and stores beside it what was found."""
    problem = ""
    try:
        making.verify(path, settings.BACKUP_PASSPHRASE)
    except (BackupError, OSError) as error:
        problem = str(error)
        log.error("backup %s: %s", path, error)
    draft = path.with_name(f".{path.name}.json.part")
    draft.write_text(json.dumps(asdict(Verified(timezone.now().isoformat(), problem))))
    os.replace(draft, _beside(path))
    return _read(path)


def remove_old() -> int:
    """Those older than BACKUP_DAYS; the newest that was verified stays whatever its age."""
    end = timezone.now() - timedelta(days=settings.BACKUP_DAYS)
    sound = next((backup for backup in kept() if backup.verified and not backup.verified.problem), None)
    old = [backup for backup in kept() if backup.made_at < end and backup != sound]
    for backup in old:
        backup.path.unlink(missing_ok=True)
        _beside(backup.path).unlink(missing_ok=True)
    return len(old)
