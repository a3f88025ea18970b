"""`python -m rlhf.training.watched JOB COMMAND... RUN_DIR`: a stage on a machine where nobody sees its process.

Whoever watches the job says by a file in the run directory, again and again, that it shall go on. It ends with a
checkpoint when the file says so, names another job, or stays as it was for too long. A lock keeps a second one out.
"""

import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

STOPPED = 75
"""Exit code: start again and it resumes from its checkpoint (rlhf.training.run)."""
POLL_S = 0.5
UNWATCHED_S = 60.0
"""Without news from the one that watches."""
GRACE_S = 60.0
"""From the request to write a checkpoint to the kill."""
LOCK_S = 90.0
"""For the job before, which ends when it reads that another has its place."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Watch:
    """What the one that watches has said: of which job, how often, and whether it shall end."""

    job: str
    beat: int = 0
    stop: bool = False

    @classmethod
    def read(cls, directory: Path) -> "Watch | None":
        """None where nobody has said anything that can be read."""
        try:
            found = json.loads(_file(directory).read_text())
            return cls(str(found["job"]), int(found["beat"]), bool(found["stop"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, directory: Path) -> None:
        draft = directory / "watch.tmp"
        draft.write_text(json.dumps(asdict(self)))
        os.replace(draft, _file(directory))


def _file(directory: Path) -> Path:
    return directory / "watch.json"


class WatchedProcess:
    """The stage's process, and whether it may go on."""

    def __init__(self, job: str, command: Sequence[str]) -> None:
        self.job, self.command, self.directory = job, list(command), Path(command[-1])
        self._asked = False
        self._news: Watch | None = None
        self._news_at = time.monotonic()
        signal.signal(signal.SIGTERM, self._ask)

    def run(self) -> int:
        """Its exit code; STOPPED where it could not begin or was killed."""
        with (self.directory / "job.lock").open("ab") as lock:
            if not self._take(lock.fileno()):
                log.error("the job does not begin: it was stopped, or another trains in %s", self.directory)
                return STOPPED
            code = self._run(lock.fileno())
        if code < 0:
            log.error("the process was killed by %s", signal.Signals(-code).name)
        return code if code >= 0 else STOPPED

    def _run(self, lock: int) -> int:
        """The pipe tells the process when this one is gone; the lock stays with it even then."""
        with subprocess.Popen(self.command, stdin=subprocess.PIPE, pass_fds=[lock]) as process:
            while process.poll() is None and self._may_go_on():
                time.sleep(POLL_S)
            return _ended(process)

    def _take(self, lock: int) -> bool:
        until = time.monotonic() + LOCK_S
        while self._may_go_on() and time.monotonic() < until:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(POLL_S)
            else:
                return True
        return False

    def _may_go_on(self) -> bool:
        found = Watch.read(self.directory)
        if found is not None and found != self._news:
            self._news, self._news_at = found, time.monotonic()
        is_watched = time.monotonic() - self._news_at < UNWATCHED_S
        is_wanted = found is None or (found.job == self.job and not found.stop)
        return is_watched and is_wanted and not self._asked

    def _ask(self, *_: object) -> None:
        self._asked = True


def _ended(process: subprocess.Popen[bytes]) -> int:
    process.terminate()  # nothing happens where it has ended
    try:
        return process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    sys.exit(WatchedProcess(sys.argv[1], sys.argv[2:]).run())
