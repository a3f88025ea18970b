"""The site's own settings on a throw-away state: one directory a test process, shared with the children it starts."""

import atexit
import os
import re
import shutil
import tempfile
from pathlib import Path

BASE = "CHAMSAE_TEST_HOME"
if BASE not in os.environ:
    os.environ[BASE] = tempfile.mkdtemp(prefix="chamsae-test-")
    atexit.register(shutil.rmtree, os.environ[BASE], ignore_errors=True)  # by the first process, for its children too
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")
os.environ["CHAMSAE_HOME"] = str(Path(os.environ[BASE]) / WORKER)
if "REDIS_URL" in os.environ:  # a Redis database a worker, for the users of two have the same ids
    number = 9 if WORKER == "main" else int(WORKER.removeprefix("gw"))
    os.environ["REDIS_URL"] = re.sub(r"(:\d+)(/\d*)?$", rf"\g<1>/{number}", os.environ["REDIS_URL"])
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the cores belong to the test processes
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("CHAMSAE_TRAINING_DEVICE", "cpu")  # whatever accelerator this machine shows
os.environ.setdefault("CHAMSAE_LOG_LEVEL", "WARNING")

from config.settings import *  # noqa: E402, F403
from config.settings import DATABASES, HOME  # noqa: E402

CELERY_TASK_DEFAULT_QUEUE = f"test-{Path(os.environ[BASE]).name}-{WORKER}"
CELERY_TASK_ROUTES = {
    task: {"queue": f"{CELERY_TASK_DEFAULT_QUEUE}-{route['queue']}"}
    for task, route in CELERY_TASK_ROUTES.items()  # noqa: F405
}
SERVED = "servestatic.middleware.ServeStaticMiddleware"
MIDDLEWARE = ["tests.static.ListedOnce" if name == SERVED else name for name in MIDDLEWARE]  # noqa: F405
CHAT_SYSTEM_PROMPT = ""  # tests say themselves what stands before a conversation
CHAT_MAX_COMPLETION_TOKENS = 512  # scripted replies are long, so that a test finds them in the middle
FEEDBACK_READING_SPEED = 0.0  # tests answer within milliseconds
RLHF_NICENESS = 0  # a trainer beside other tests would hardly begin
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # as many sign-ins as tests, none worth a second
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file, not memory: locks of a shared memory database ignore every timeout, which no real site would see.
    DATABASES["default"]["TEST"] = {"NAME": str(HOME / "test.sqlite3")}
else:
    DATABASES["default"]["ENGINE"] = "tests.postgresql"
