"""A site of one commit in one small file: its database as SQL, its directories, and an answer of its policy."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

from tests.upgrade.databases import Database

FOLDERS = ("models", "runs", "uploads")
SQL, ANSWER = "database.sql", "answer.json"
SECRET_KEY = "the key of every site in these archives, known to everybody"
"""Names of annotators in a snapshot are hashed with it."""
NOT_NEEDED = ("lock", "log.txt")
"""Of a run's directory; a log names the machine that it was made on."""


def file_of(commit: str, kind: str) -> Path:
    return Path(__file__).with_name(f"{commit}-{kind}.tar.xz")


def pack(target: Path, home: Path, sql: str, answer: Path) -> None:
    with tarfile.open(target, "w:xz", preset=9) as archive:
        add(archive, SQL, sql.encode())
        add(archive, ANSWER, answer.read_bytes())
        for folder in FOLDERS:
            archive.add(home / folder, folder, filter=nobodys)


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def nobodys(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Without the name of whoever made it."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return None if Path(entry.name).name in NOT_NEEDED else entry


def unpack(source: Path, home: Path) -> None:
    """What fsck looks at lies in `home` then, as on the day that the site was stopped."""
    with tarfile.open(source) as archive:
        archive.extractall(home, filter="data")


def restore(home: Path, database: Database) -> None:
    database.restore((home / SQL).read_text(encoding="utf-8"))


def answer(home: Path) -> dict[str, Any]:
    """{"directory", "prompt": token ids, "answer": token ids} of the live policy, without sampling."""
    found: dict[str, Any] = json.loads((home / ANSWER).read_text())
    return found
