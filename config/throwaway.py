"""A state of its own for a command that simulates people; it shares the base model's files alone with the site's."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from django.conf import settings

from base.commands import Exit
from config.processes import end_with_parent

SITE_VARIABLES = ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "CHAMSAE_SHARED_STATE", "CHAMSAE_SITE")
"""Variables that lead to the site's own state and must not be passed on."""


class NoFormerRun(Exception):
    code = "no_former_run"

    def __init__(self, home: Path) -> None:
        super().__init__(f"no earlier run in {home}: omit --again, or use another --seed")
        self.home = home


class AlreadyRunning(Exception):
    code = "already_running"

    def __init__(self, home: Path) -> None:
        super().__init__(f"the command is already running in {home}: wait for it to finish, or use another --seed")
        self.home = home


@contextlib.contextmanager
def locked_home(home: Path, *, fresh: bool) -> Iterator[Path]:
    """The directory, locked until the end of the block: fresh and empty, or as a former run left it."""
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(home) from None
        if fresh:
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir(mode=0o700)
        elif not home.is_dir():
            raise NoFormerRun(home)
        yield home


def link_policy(source: Path, models: Path) -> Path:
    """The policy's directory under `models`, by hard links where the disk allows; its files are never changed."""
    target = models / source.name
    shutil.copytree(source, target, copy_function=_link_or_copy)
    target.chmod(0o700)
    return target


def _link_or_copy(file: str, target: str) -> None:
    try:
        os.link(file, target)
    except OSError:  # another disk, or one without links
        shutil.copy2(file, target)


def migrate(home: Path) -> None:
    """Brings the tables of a former run, which are nobody's site, to this version of the code. Raises
    subprocess.CalledProcessError."""
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "migrate", "--verbosity", "0", "--no-input"]
    subprocess.run(command, env=dict(environment(home)), check=True)


def run_this_command(home: Path, base: Path | None, *, again: bool, **variables: str) -> int:
    """Runs the command that was called, with the same words and the same output, as a child process on a state of its
    own with the policy at `base`, if one is needed, or on the one that a former run left. Returns the exit code.

    `variables`: of its environment, where the caller's has no others. AlreadyRunning, NoFormerRun."""
    with locked_home(home, fresh=not again):
        if again:
            migrate(home)
        elif base is not None:
            link_policy(base, home / "models")
        process = subprocess.Popen(
            [sys.executable, *sys.argv, "--here"],
            env=dict(environment(home, **variables)),
            preexec_fn=end_with_parent,
        )
        try:
            return process.wait()
        except KeyboardInterrupt:  # the child got it, too
            return process.wait() and Exit.INTERRUPTED


def environment(home: Path, **defaults: str) -> Mapping[str, str]:
    """This process's, without what leads to the site's own state; `defaults` are for variables that it lacks."""
    passed_on = {name: value for name, value in os.environ.items() if name not in SITE_VARIABLES}
    return {**defaults, **passed_on, "CHAMSAE_HOME": str(home)}
