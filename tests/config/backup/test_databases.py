"""The copy of a database is of one moment, and what keeps it from being made is said with what to do."""

import sqlite3
from contextlib import closing

import pytest

from config.backup import databases
from config.backup.errors import BackupError


@pytest.fixture
def wal(tmp_path, monkeypatch):
    """A database of its own in WAL mode, as the site's is."""
    file = tmp_path / "chamsae.sqlite3"
    monkeypatch.setattr(databases, "_database", lambda: {"NAME": str(file), "HOST": "h", "PASSWORD": "p"})
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("CREATE TABLE row (number INTEGER)")
        writer.execute("INSERT INTO row VALUES (1)")
        yield file, writer


def numbers(file):
    with closing(sqlite3.connect(file)) as opened:
        return [number for (number,) in opened.execute("SELECT number FROM row ORDER BY number")]


def test_the_copy_has_what_was_committed_and_nobody_waits_for_it(wal, tmp_path):
    _file, writer = wal
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("INSERT INTO row VALUES (2)")
    databases._copy_sqlite(tmp_path / "copy")
    writer.execute("COMMIT")
    assert numbers(tmp_path / "copy") == [1]


def test_what_is_put_back_takes_the_place_and_the_former_file_is_kept(wal, tmp_path):
    file, writer = wal
    databases._copy_sqlite(tmp_path / "copy")
    writer.execute("DELETE FROM row")
    aside = tmp_path / "aside"
    aside.mkdir()
    databases._replace_sqlite(tmp_path / "copy", aside)
    assert (numbers(file), numbers(aside / file.name)) == ([1], [])
    assert file.stat().st_mode & 0o077 == 0


def test_a_missing_program_of_postgresql_is_named(wal):
    with pytest.raises(BackupError, match="no_such_dump is missing: install"):
        databases._run("no_such_dump")


def test_what_a_program_says_is_told_without_the_password(wal):
    with pytest.raises(BackupError, match="boom") as told:
        databases._run("sh", "-c", "echo boom >&2; exit 1")
    assert "PGPASSWORD" not in str(told.value)


def test_the_password_is_not_on_the_command_line(wal):
    databases._run("sh", "-c", 'test "$PGPASSWORD" = p && test "$PGHOST" = h')
