"""Where hosts share state, removes from this host what the database says is gone, whoever removed it elsewhere."""

import logging
import subprocess
import sys
import threading

from django.conf import settings
from django.db import close_old_connections
from django.utils.module_loading import import_string

from base import shared_state
from base.host_lock import if_free

EVERY_S = 600.0
log = logging.getLogger(__name__)


def tidy() -> dict[str, str]:
    """Calls each of settings.HOST_TIDYING, unless another process of this host is at it. Which of them failed, and by
    what: the others are done all the same, and what was left is found the next time."""
    failed = {}
    with if_free("tidying") as is_free:
        for path in settings.HOST_TIDYING if is_free else ():
            try:
                import_string(path)()
            except Exception as error:  # each is another app's: whatever it raises, the others are done
                log.exception("%s", path)
                failed[path] = str(error)
                close_old_connections()  # one that broke would fail for all others, too
    return failed


def start() -> None:
    """For as long as this process lives. Without shared state there is nothing to do: who removes something removes
    it from the one place where it is."""
    if shared_state.is_on():
        threading.Thread(target=_tidy_again_and_again, name="tidying", daemon=True).start()


def _tidy_again_and_again() -> None:
    """By a process of its own: a worker forks, and must have no connections of a thread then."""
    pause = threading.Event()
    while True:
        command = [sys.executable, "manage.py", "tidy_host"]
        ended = subprocess.run(command, cwd=settings.BASE_DIR, stdin=subprocess.DEVNULL, check=False)
        if ended.returncode:
            log.warning("this host's copies could not be tidied: exit code %s", ended.returncode)
        pause.wait(EVERY_S)
