"""The database in one file: a consistent copy of it while people write, and the way back."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from config.backup.errors import BackupError

SQLITE, POSTGRESQL = "database.sqlite3", "database.dump"
BESIDE = ("", "-wal", "-shm")
"""What SQLite keeps of one database."""


def file_name() -> str:
    """In a backup of a site like this one."""
    return SQLITE if connection.vendor == "sqlite" else POSTGRESQL


def copy_to(target: Path) -> None:
    """The database as it is at one moment. Raises BackupError."""
    if connection.vendor == "sqlite":
        _copy_sqlite(target)
    else:
        _run("pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={target}")


def put_back(source: Path, aside: Path) -> None:
    """Raises BackupError; then PostgreSQL's database is as it was. The former file of SQLite goes to `aside`."""
    connection.close()
    if connection.vendor == "sqlite":
        _replace_sqlite(source, aside)
    else:
        whole = ("--clean", "--if-exists", "--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges")
        _run("pg_restore", *whole, f"--dbname={_database()['NAME']}", str(source))


def _database() -> dict[str, Any]:
    return connection.settings_dict


def _copy_sqlite(target: Path) -> None:
    """In one step: the writers of a WAL database do not wait for a reader, nor does their work begin it anew."""
    name = str(_database()["NAME"])
    opened = sqlite3.connect(name, timeout=60), sqlite3.connect(target)
    with contextlib.closing(opened[0]) as source, contextlib.closing(opened[1]) as copy:
        source.backup(copy, pages=-1)


def _replace_sqlite(source: Path, aside: Path) -> None:
    name = str(_database()["NAME"])
    for ending in BESIDE:
        with contextlib.suppress(FileNotFoundError):
            os.replace(name + ending, aside / (Path(name).name + ending))
    shutil.move(source, name)
    os.chmod(name, 0o600)


def _run(program: str, *options: str) -> None:
    database = _database()
    given = {"PGHOST": "HOST", "PGPORT": "PORT", "PGUSER": "USER", "PGPASSWORD": "PASSWORD", "PGDATABASE": "NAME"}
    address = {variable: str(database[key]) for variable, key in given.items() if database.get(key)}
    try:
        done = subprocess.run(
            [program, *options], env={**os.environ, **address}, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise BackupError(
            f"{program} is missing: install PostgreSQL's client programs of the server's version "
            f"(on Debian: apt-get install postgresql-client)"
        ) from None
    if done.returncode:
        raise BackupError(f"{program} failed: {done.stderr.strip()[-1000:]} (the state is in {settings.HOME})")
