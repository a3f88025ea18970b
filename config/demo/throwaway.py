"""The demo's own state beside the site's; they share only the base model's files."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from django.conf import settings

SITE_VARIABLES = ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "CHAMSAE_SITE")
"""Variables that lead to the site's own state and must not be passed on."""


class NoFormerDemo(Exception):
    code = "no_former_demo"

    def __init__(self, home: Path) -> None:
        super().__init__(f"no earlier demo in {home}: omit --again, or use another --seed")
        self.home = home


class DemoRunning(Exception):
    code = "demo_running"

    def __init__(self, home: Path) -> None:
        super().__init__(f"a demo is already running in {home}: wait for it to finish, or use another --seed")
        self.home = home


@contextlib.contextmanager
def locked_home(home: Path, *, fresh: bool) -> Iterator[Path]:
    """The demo's directory, locked until the end of the block: fresh and empty, or as a former demo left it."""
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoRunning(home) from None
        if fresh:
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir(mode=0o700)
        elif not home.is_dir():
            raise NoFormerDemo(home)
        yield home


def link_policy(source: Path, models: Path) -> Path:
    """The policy's directory under `models`, by hard links where the disk allows; its files are never changed."""
    target = models / source.name
    target.mkdir(mode=0o700, parents=True)
    for file in source.iterdir():
        try:
            os.link(file, target / file.name)
        except OSError:  # another disk, or one without links
            shutil.copy2(file, target / file.name)
    return target


def migrate(home: Path) -> None:
    """Brings the tables of a former demo, which are nobody's site, to this version of the code. Raises
    subprocess.CalledProcessError."""
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "migrate", "--verbosity", "0", "--no-input"]
    subprocess.run(command, env=dict(environment(home)), check=True)


BEYOND_THE_CUT = {"CHAMSAE_GATE_FIRST_SENTENCE_MARGIN": "-0.25"}
"""Its replies are cut at 48 tokens, where five in six of the base's have not ended, and its annotators like replies
that end: the base's replies cut after the first sentence win 0.93, and no training here does better than 0.89."""


def environment(home: Path) -> Mapping[str, str]:
    passed_on = {name: value for name, value in os.environ.items() if name not in SITE_VARIABLES}
    return {**BEYOND_THE_CUT, **passed_on, "CHAMSAE_HOME": str(home)}
