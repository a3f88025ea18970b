"""A site of an earlier commit comes up to date: `migrate` keeps its rows, and fsck finds it sound."""

import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

from tests.site import ROOT, environment_of
from tests.upgrade import archive, databases

COMMITS = ("afccb47",)
KINDS = ("sqlite", pytest.param("postgresql", marks=pytest.mark.services("PostgreSQL")))


@dataclass(frozen=True)
class OldSite:
    home: Path
    database: databases.Database

    def manage(self, *words, may_fail=False):
        """What the command printed."""
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=environment_of(self.home, self.database.url, CHAMSAE_SECRET_KEY=archive.SECRET_KEY),
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert may_fail or done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def problems(self):
        """What fsck finds, as (promise, text)."""
        said = json.loads(self.manage("fsck", "--json", may_fail=True))
        return [(problem["promise"], problem["text"]) for problem in said["problems"]]


@contextmanager
def restored(commit, kind, home):
    archive.unpack(archive.file_of(commit, kind), home)
    with databases.empty_database(kind, home) as database:
        archive.restore(home, database)
        yield OldSite(home, database)


@pytest.mark.parametrize("commit", COMMITS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.timeout(300)  # a process a command, on a machine that may be busy
def test_an_old_site_migrates_without_a_loss_and_is_sound(commit, kind, tmp_path):
    with restored(commit, kind, tmp_path) as site:
        before, sides = databases.row_counts(site.database), sides_of_prompts(site.database)
        assert databases.without_rows(before) == []
        site.manage("migrate")
        assert sides_of_prompts(site.database) == sides
        assert every_prompt_has_its_group(site.database)
        after = databases.row_counts(site.database)
        before["accounts_auditentry"] += 1  # that the entries of a former version were sealed
        assert {table: after.get(table) for table in before} == before
        assert site.problems() == []
        assert json.loads(site.manage("verify_audit", "--json"))["faults"] == []
        assert was_sealed_unbroken(site.database)
        assert all(callable(function) for function in functions_named_by_rows(site.database))
        assert is_frozen_as_it_was(site)


AGREE = """
from accounts import consents
from accounts.models import User
for person in User.objects.filter(conversations__may_train=True).distinct():
    consents.give(person, 1)
"""
"""Since consent has words, people are asked once more; these have agreed."""
JUDGED = {"project", "language", "consent", "consent_version", "guidelines_version", "imported_from"}
ADDED = {
    "rankings.jsonl": {"group", "shown", "policies", "seconds", *JUDGED},
    "violations.jsonl": {"group", "weight", "policy", *JUDGED},
    "prompts.jsonl": {"group", "consent_version"},
    "preferences.jsonl": {
        *("weight", "margin", "ranking", "chosen_policy", "rejected_policy", "shown", "annotator", "simulated"),
        *("seconds", *JUDGED),
    },
    "unpaired.jsonl": {"weight", "policy", "reasons", "annotator", "simulated", *JUDGED},
}
"""Names in a file's lines that later versions added."""


def is_frozen_as_it_was(site):
    """The same feedback gives the same lines; what later versions added to a line stands beside. The old snapshot is
    as it was (fsck)."""
    ((old,),) = site.database.query("SELECT directory FROM rlhf_snapshot")
    site.manage("shell", "-c", AGREE)
    made = json.loads(site.manage("snapshot", "--json"))
    assert made["left_out"] == 0
    return lines_of(Path(made["directory"])) == lines_of(site.home / "runs" / old)


def lines_of(snapshot):
    """Without what snapshots of the oldest version lack."""
    found = {}
    for path in sorted(snapshot.glob("*.jsonl")):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        lines = [{name: value for name, value in line.items() if name not in ADDED[path.name]} for line in lines]
        if lines:  # since version 0.3, a file of no lines is left out
            found[path.name] = lines
    return found


def sides_of_prompts(database):
    return sorted(database.query("SELECT sha256, split FROM feedback_prompt"))


def every_prompt_has_its_group(database):
    """By its own opening, or by that of its conversation."""
    ((missing,),) = database.query(
        "SELECT COUNT(*) FROM feedback_prompt p WHERE NOT EXISTS (SELECT 1 FROM feedback_opening o"
        " LEFT JOIN chat_message m ON m.id = o.message_id LEFT JOIN chat_message n ON n.id = p.message_id"
        " WHERE o.prompt_id = p.id OR m.conversation_id = n.conversation_id)"
    )
    return missing == 0


def was_sealed_unbroken(database):
    ((told,),) = database.query("SELECT after FROM accounts_auditentry WHERE verb = 'audit.seal'")
    return (json.loads(told) if isinstance(told, str) else told)["broken"] == 0


def functions_named_by_rows(database):
    """Rows of simulated annotators name functions as `package.module:function`."""
    named = database.query("SELECT preference, flags FROM feedback_simulatedannotator")
    for preference, flags in named:
        flags = json.loads(flags) if isinstance(flags, str) else flags
        for path in (preference, *flags.values()):
            module, name = path.split(":")
            yield getattr(import_module(module), name)


@pytest.mark.parametrize("commit", COMMITS)
def test_the_check_sees_a_table_without_rows_a_lost_chunk_and_a_changed_weight(commit, tmp_path):
    with restored(commit, "sqlite", tmp_path) as site:
        site.database.restore("DELETE FROM feedback_thumb; DELETE FROM chat_chunk WHERE seq = 2;")
        assert databases.without_rows(databases.row_counts(site.database)) == ["feedback_thumb"]
        spoil(tmp_path / "models" / live_directory(site.database) / "model.safetensors")
        site.manage("migrate")
        assert {promise for promise, _text in site.problems()} == {3, 4}


def spoil(file):
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("commit", COMMITS)
@pytest.mark.parametrize("kind", databases.KINDS)
def test_the_trained_policy_answers_as_it_did(commit, kind, tmp_path):
    """Held against what transformers answered with it on the day that the archive was made."""
    import torch

    from rlhf.training.model.sampler import sample
    from rlhf.training.model.transformer import Transformer

    archive.unpack(archive.file_of(commit, kind), tmp_path)
    said = archive.answer(tmp_path)
    model = Transformer.load(tmp_path / "models" / said["directory"], dtype=torch.float32)
    made = sample(model, [said["prompt"]], max_tokens=len(said["answer"]), temperature=0, seed=0)
    assert made.completions() == [said["answer"]]
    assert len(set(said["answer"])) > 5


def live_directory(database):
    ((directory,),) = database.query("SELECT directory FROM chat_policy WHERE is_live")
    return directory
