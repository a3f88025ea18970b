"""Tells that a long pass over replies goes on: a line in the log, and while nothing trains yet a line of metrics."""

import logging
import time

from rlhf.training.run import RunDirectory

PAUSE_S = 15.0

log = logging.getLogger(__name__)


class Liveness:
    """Called with the replies done and all replies, as often as one likes. Raises Stopped where asked to stop."""

    def __init__(self, directory: RunDirectory, doing: str, *, trains_yet: bool) -> None:
        """`trains_yet`: steps were reported, whose figures a line of another kind would replace."""
        self.directory, self.doing, self.trains_yet = directory, doing, trains_yet
        self._told_at = time.monotonic()

    def __call__(self, done: int, of: int) -> None:
        self.directory.stop_if_asked()
        now = time.monotonic()
        if now - self._told_at < PAUSE_S:
            return
        self._told_at = now
        log.info("%s: %d of %d replies", self.doing, done, of)
        if not self.trains_yet:
            self.directory.report(0, 0, {"replies": [done, of]})
