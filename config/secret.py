"""The site's secret key: from the environment, else generated once and stored in a file of mode 0600."""

import contextlib
import os
import secrets
import tempfile
from pathlib import Path

from config import env


def secret_key(home: Path) -> str:
    given = env.text("CHAMSAE_SECRET_KEY")
    if given:
        if len(given) < 40:
            raise env.BadSetting("CHAMSAE_SECRET_KEY", "...", "at least 40 characters")
        return given
    path = home / "secret_key"
    if not path.exists():
        handle, temporary = tempfile.mkstemp(dir=home, prefix="secret_key-")  # created with mode 0600
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(50))
        with contextlib.suppress(FileExistsError):  # of several processes at first start, one wins
            os.link(temporary, path)
        os.unlink(temporary)
    return path.read_text()
