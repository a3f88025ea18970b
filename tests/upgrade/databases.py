"""An empty database of either kind for a site of its own, and the whole of a database as SQL text."""

import contextlib
import os
import sqlite3
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

KINDS = ("sqlite", "postgresql")
SERVER = "postgres://postgres@127.0.0.1:5432"
DJANGOS = ("auth_", "django_", "sqlite_")
"""How the tables of Django and of SQLite itself begin: they may gain rows with each migration."""
OF_PSQL = ("\\restrict ", "\\unrestrict ")
"""Lines of pg_dump that no server understands."""


class Database(Protocol):
    url: str
    """As DATABASE_URL."""

    def dump(self) -> str: ...

    def restore(self, sql: str) -> None: ...

    def query(self, sql: str) -> list[tuple[Any, ...]]: ...

    def tables(self) -> list[str]: ...


class Sqlite:
    def __init__(self, file: Path) -> None:
        self.file, self.url = file, f"sqlite:///{file}"

    def dump(self) -> str:
        with contextlib.closing(sqlite3.connect(self.file)) as connection:
            return "\n".join(connection.iterdump()) + "\n"

    def restore(self, sql: str) -> None:
        with contextlib.closing(sqlite3.connect(self.file)) as connection:
            connection.executescript(sql)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.file)) as connection, connection:
            return connection.execute(sql).fetchall()

    def tables(self) -> list[str]:
        return [name for (name,) in self.query("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]


class Postgresql:
    def __init__(self, url: str) -> None:
        self.url = url

    def dump(self) -> str:
        command = ["pg_dump", "--inserts", "--no-owner", "--no-privileges", self.url]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(OF_PSQL))

    def restore(self, sql: str) -> None:
        self.query(sql)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        import psycopg

        with psycopg.connect(self.url) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def tables(self) -> list[str]:
        names = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
        return [name for (name,) in self.query(names)]


@contextlib.contextmanager
def empty_database(kind: str, home: Path) -> Iterator[Database]:
    """SQLite lies in the site's home; on PostgreSQL the database is dropped at the end."""
    if kind == "sqlite":
        yield Sqlite(home / "chamsae.sqlite3")
        return
    import psycopg

    server, name = server_url(), f"chamsae_upgrade_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield Postgresql(f"{server}/{name}")
        finally:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def server_url() -> str:
    """The server that the suite runs on, else the usual one of this machine."""
    url = urlsplit(os.environ.get("DATABASE_URL", ""))
    return f"{url.scheme}://{url.netloc}" if url.scheme.startswith("postgres") else SERVER


def row_counts(database: Database) -> dict[str, int]:
    """Rows of each table of ours."""
    ours = [table for table in database.tables() if not table.startswith(DJANGOS)]
    return {table: database.query(f'SELECT count(*) FROM "{table}"')[0][0] for table in ours}  # noqa: S608


def without_rows(counts: Mapping[str, int]) -> list[str]:
    return [table for table, count in counts.items() if count == 0]
