"""Backups of the schedule and their page: made when due, verified, removed after some days, shown to admins alone."""

import os
import time

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.models import AuditEntry
from accounts.roles import Role
from config import tasks
from config.backup import databases, encryption, kept, making
from config.backup.errors import BackupError
from tests.people import make_person

pytestmark = pytest.mark.django_db
DAY_S = 24 * 3600


@pytest.fixture(autouse=True)
def _small_state(settings, tmp_path, monkeypatch):
    """Folders of the test's own, a cheap key, and no database in the file: a test's rows are in a transaction."""
    settings.MODELS_DIR, settings.RUNS_DIR, settings.UPLOADS_DIR = (tmp_path / name for name in ("m", "r", "u"))
    settings.BACKUP_DIR, settings.BACKUP_PASSPHRASE = tmp_path / "backups", "correct horse battery staple"
    monkeypatch.setattr(encryption, "COST", 4)
    monkeypatch.setattr(databases, "copy_to", lambda target: target.write_bytes(b"rows"))
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "weights").write_bytes(b"weights" * 1000)


def grow_old(backup, days):
    then = time.time() - days * DAY_S
    os.utime(backup.path, (then, then))


def spoil(backup):
    content = bytearray(backup.path.read_bytes())
    content[-30] ^= 1
    backup.path.write_bytes(content)


def test_one_is_made_when_it_is_due_and_not_before():
    assert tasks.make_due_backup()
    assert not tasks.make_due_backup()
    grow_old(kept.kept()[0], days=1.1)
    assert tasks.make_due_backup()
    assert AuditEntry.objects.filter(verb="backup.make", actor=None).count() == 2


@pytest.mark.parametrize(("name", "value"), [("BACKUP_HOURS", 0), ("BACKUP_PASSPHRASE", "")])
def test_none_is_due_where_none_is_wanted(settings, name, value):
    setattr(settings, name, value)
    assert not tasks.make_due_backup()


def test_it_is_verified_and_a_damaged_one_says_so():
    made = kept.make()
    assert made.verified.problem == ""
    spoil(made)
    assert not tasks.verify_backup(made.name)
    assert "damaged" in kept.kept()[0].verified.problem


def test_old_ones_are_removed_but_never_the_last_sound_one():
    sound = kept.make()
    grow_old(sound, days=40)
    broken = sound.path.with_name("chamsae-later.chamsae")
    broken.write_bytes(sound.path.read_bytes())
    spoil(kept._read(broken))
    kept.verify(broken)
    grow_old(kept._read(broken), days=30)
    assert kept.remove_old() == 1
    assert [backup.name for backup in kept.kept()] == [sound.name]


def test_a_backup_that_fails_leaves_nothing_behind(monkeypatch, settings):
    def broken(target):
        raise BackupError("pg_dump is missing")

    monkeypatch.setattr(databases, "copy_to", broken)
    with pytest.raises(BackupError, match="pg_dump"):
        kept.make()
    assert list(settings.BACKUP_DIR.iterdir()) == []
    assert not AuditEntry.objects.exists()


def test_only_its_owner_can_read_the_file():
    assert kept.make().path.stat().st_mode & 0o077 == 0


def test_a_short_passphrase_and_a_file_that_exists_are_refused(tmp_path):
    with pytest.raises(BackupError, match="too short"):
        making.make(tmp_path / "new", "short")
    (tmp_path / "there").touch()
    with pytest.raises(BackupError, match="exists"):
        making.make(tmp_path / "there", "correct horse battery staple")


def test_the_command_writes_and_verifies(tmp_path, capsys, settings):
    file = tmp_path / "monday"
    call_command("backup", file)
    call_command("backup", file, verify=True)
    assert "ok: True" in capsys.readouterr().out
    settings.BACKUP_PASSPHRASE = "another passphrase"
    with pytest.raises(CommandError, match="passphrase does not open"):
        call_command("backup", file, verify=True)


def test_a_restore_of_a_damaged_file_changes_nothing(tmp_path, settings):
    settings.HOME = tmp_path
    made = kept.make()
    spoil(made)
    before = sorted(path for path in tmp_path.rglob("*"))
    with pytest.raises(CommandError, match="damaged"):
        call_command("restore", made.path)
    assert sorted(path for path in tmp_path.rglob("*") if path.name != "run_site.lock") == before
    assert (tmp_path / "m" / "weights").exists()


@pytest.fixture
def admin():
    client = Client()
    client.force_login(make_person("boss", Role.ADMIN))
    return client


def test_the_page_shows_each_with_its_size_and_whether_it_can_be_read(admin):
    made = kept.make()
    page = admin.get("/site/backups/").content.decode()
    assert made.name in page
    assert "sound" in page
    spoil(made)
    kept.verify(made.path)
    assert "cannot be read" in admin.get("/site/backups/").content.decode()


def test_the_page_says_where_no_passphrase_is_given(admin, settings):
    settings.BACKUP_PASSPHRASE = ""
    page = admin.get("/site/backups/").content.decode()
    assert "CHAMSAE_BACKUP_PASSPHRASE" in page
    assert "Make a backup now" not in page


def test_the_page_says_when_the_newest_is_too_old(admin):
    grow_old(kept.make(), days=3)
    assert "older than it should be" in admin.get("/site/backups/").content.decode()


def test_an_admin_makes_and_verifies_one(admin, monkeypatch):
    monkeypatch.setattr(tasks.make_backup, "delay", tasks.make_backup)
    monkeypatch.setattr(tasks.verify_backup, "delay", tasks.verify_backup)
    assert admin.post("/site/backups/make/").status_code == 302
    (made,) = kept.kept()
    assert AuditEntry.objects.get(verb="backup.make").actor.username == "boss"
    assert admin.post(f"/site/backups/{made.name}/verify/").status_code == 302
    assert admin.post("/site/backups/no-such-file/verify/").status_code == 404
