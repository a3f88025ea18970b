"""Makes the archives of a commit: a site is filled by that commit's own code, on each kind of database.

    python -m tests.upgrade.generate afccb47

It needs what a training needs, PostgreSQL (DATABASE_URL, or the usual address) and pg_dump; it takes some minutes.
"""

import argparse
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.site import ROOT, environment_of
from tests.upgrade import archive, databases

OPEN_GATE = {
    "CHAMSAE_GATE_FALSE_PROMOTIONS": "0.5",
    "CHAMSAE_GATE_WIN_RATE_LOW": "0",
    "CHAMSAE_GATE_JUDGE_ACCURACY_LOW": "0",
    "CHAMSAE_GATE_JUDGE_COMPARISONS": "0",
    "CHAMSAE_GATE_JUDGE_PEOPLE": "0",
    "CHAMSAE_MINIMUM_RULE_LABELS": "0",
    "CHAMSAE_GATE_PROMPTS": "1",
    "CHAMSAE_GATE_VIOLATION_RISE": "1",
    "CHAMSAE_GATE_VIOLATION_MARGIN": "1",
    "CHAMSAE_GATE_FIRST_SENTENCE_MARGIN": "-9",
    "CHAMSAE_GATE_STOP_CONTROLLED_LOW": "0",
    "CHAMSAE_GATE_KL": "1e9",
    "CHAMSAE_GATE_LENGTH_MIN": "0",
    "CHAMSAE_GATE_LENGTH_MAX": "1e9",
    "CHAMSAE_GATE_REPETITION": "1",
    "CHAMSAE_GATE_PERPLEXITY": "1e9",
    "CHAMSAE_GATE_EMPTY": "1",
    "CHAMSAE_GATE_SURPRISE": "1e9",
}
"""Two iterations need not make a policy better."""
FILL = "from tests.upgrade import fill; fill.main({!r})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commit")
    parser.add_argument("--database", choices=databases.KINDS, action="append")
    chosen = parser.parse_args()
    for kind in chosen.database or databases.KINDS:
        with tempfile.TemporaryDirectory(prefix="chamsae-upgrade-") as folder:
            make(chosen.commit, kind, Path(folder))


def make(commit: str, kind: str, folder: Path) -> None:
    code, home = folder / "code", folder / "home"
    home.mkdir()
    check_out(commit, code)
    with databases.empty_database(kind, home) as database:
        environment = environment_of(home, database.url, CHAMSAE_SECRET_KEY=archive.SECRET_KEY, **OPEN_GATE)
        manage = [sys.executable, "manage.py"]
        for words in (
            ["migrate", "--verbosity", "0"],
            ["shell", "--verbosity", "0", "-c", FILL.format(str(folder))],
            ["fsck"],
        ):
            subprocess.run([*manage, *words], cwd=code, env=environment, check=True)
        archive.pack(archive.file_of(commit, kind), home, database.dump(), folder / "answer.json")


def check_out(commit: str, code: Path) -> None:
    """The commit's files, with these programs among its tests."""
    packed = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as files:
        files.extractall(code, filter="data")
    mine = Path(__file__).parent
    shutil.copytree(mine, code / "tests" / mine.name, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
