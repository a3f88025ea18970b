"""The drill: a backup of a site under load, all of it lost, restored, and found equal in rows, bytes and answers."""

import hashlib
import json
import shutil
import subprocess
import sys

import pytest

from tests.site import ROOT, environment_of
from tests.upgrade import archive, databases

COMMIT = "afccb47"
"""Of a site in an archive with rows in every table, and with a policy that was trained on them."""
PASSPHRASE = "correct horse battery staple"
WRITE = """
import itertools
from django.db import transaction
from accounts import audit
from accounts.models import User
person = User.objects.first()
for number in itertools.count():
    with transaction.atomic():
        audit.record(person, "text.hide", person, reason=str(number))
    if not number:
        print("begun", flush=True)
"""
GREEDY = """
import json, sys, torch
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
print(model.generate(torch.tensor([json.loads(sys.argv[2])]), do_sample=False, max_new_tokens=24)[0].tolist())
"""


class LosableSite:
    def __init__(self, home, database):
        self.home, self.database = home, database
        self.environment = environment_of(home, database.url, CHAMSAE_BACKUP_PASSPHRASE=PASSPHRASE)

    def start(self, *words):
        return subprocess.Popen(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def manage(self, *words):
        process = self.start(*words)
        out, errors = process.communicate(timeout=240)
        assert process.returncode == 0, out + errors
        return out

    def hashes(self):
        folders = [self.home / name for name in ("models", "runs", "uploads")]
        files = [path for folder in folders for path in folder.rglob("*") if path.is_file() and path.name != "lock"]
        return {str(path.relative_to(self.home)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def answer(self, asked):
        program = [
            sys.executable,
            "-c",
            GREEDY,
            str(self.home / "models" / asked["directory"]),
            json.dumps(asked["prompt"]),
        ]
        return subprocess.run(program, capture_output=True, text=True, check=True).stdout

    def lose_everything(self):
        shutil.rmtree(self.home)
        self.home.mkdir()
        if self.database.url.startswith("postgres"):
            self.database.restore("DROP SCHEMA public CASCADE; CREATE SCHEMA public;")


@pytest.mark.fault
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.services("PostgreSQL"))])
@pytest.mark.timeout(900)  # a process a command, on a machine that may be busy
def test_a_site_that_lost_everything_comes_back(kind, tmp_path):
    home, backup = tmp_path / "home", tmp_path / "outside" / "monday.chamsae"
    archive.unpack(archive.file_of(COMMIT, kind), home)
    with databases.empty_database(kind, home) as database:
        archive.restore(home, database)
        site, asked = LosableSite(home, database), archive.answer(home)
        site.manage("migrate", "--verbosity", "0")
        rows, files, answer = databases.row_counts(database), site.hashes(), site.answer(asked)
        writer = site.start("shell", "--verbosity", "0", "-c", WRITE)
        assert writer.stdout.readline() == "begun\n"
        made = json.loads(site.manage("backup", str(backup), "--json"))
        assert writer.poll() is None  # it wrote on while the backup was made
        writer.kill()
        writer.communicate()
        assert made["files"] >= len(files) + 2  # the database and the keys
        assert json.loads(site.manage("backup", "--verify", str(backup), "--json"))["ok"]
        keys = {name: (home / name).read_text() for name in ("secret_key", "audit_key")}
        site.lose_everything()
        assert json.loads(site.manage("restore", str(backup), "--json"))["files"] == made["files"]
        assert site.hashes() == files
        assert site.answer(asked) == answer
        assert {name: (home / name).read_text() for name in keys} == keys
        assert json.loads(site.manage("verify_audit", "--json"))["faults"] == []
        assert json.loads(site.manage("fsck", "--json"))["problems"] == []
        entries = "accounts_auditentry"
        after = databases.row_counts(database) | {"accounts_auditcheck": 0}
        assert after.pop(entries) > rows.pop(entries) + 1
        assert after == rows
        ((verb,),) = database.query("SELECT verb FROM accounts_auditentry ORDER BY sequence DESC LIMIT 1")
        assert verb == "site.restore"
