"""The site's secrets: from the environment, else generated once and stored in files of mode 0600."""

import contextlib
import os
import secrets
import tempfile
from pathlib import Path

from config import env

SHORTEST = 40
SECRET_KEY_FILE = "secret_key"  # noqa: S105 (the name of a file)
AUDIT_KEY_FILE = "audit_key"


def secret_key(home: Path) -> str:
    return _checked("CHAMSAE_SECRET_KEY", env.text("CHAMSAE_SECRET_KEY")) or _stored(home / SECRET_KEY_FILE)


def audit_keys(home: Path) -> list[str]:
    """Keys of the audit log's seals: the first seals, each of them is taken as having sealed an older entry.

    Where CHAMSAE_SECRET_KEY is given and CHAMSAE_AUDIT_KEY is not, hosts that share a database have the former in
    common, so it seals.
    """
    given = [
        _checked("CHAMSAE_AUDIT_KEY", env.text("CHAMSAE_AUDIT_KEY")),
        _checked("CHAMSAE_SECRET_KEY", env.text("CHAMSAE_SECRET_KEY")),
    ]
    former = env.words("CHAMSAE_AUDIT_KEY_FALLBACKS") + env.words("CHAMSAE_SECRET_KEY_FALLBACKS")
    path = home / AUDIT_KEY_FILE
    if not any(given) or path.exists():
        given.append(_stored(path))
    return [key for key in (*given, *former) if key]


def _checked(name: str, value: str) -> str:
    if value and len(value) < SHORTEST:
        raise env.BadSetting(name, "...", f"at least {SHORTEST} characters")
    return value


def _stored(path: Path) -> str:
    if not path.exists():
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}-")  # created with mode 0600
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(50))
        with contextlib.suppress(FileExistsError):  # of several processes at first start, one wins
            os.link(temporary, path)
        os.unlink(temporary)
    return path.read_text()
