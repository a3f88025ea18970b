"""What this machine has for the tests: services that answer, a Chromium, the fetched policy."""

import functools
import os
import shutil
import socket
from pathlib import Path
from urllib.parse import urlsplit

SERVICES = {
    "PostgreSQL": ("DATABASE_URL", "postgres://postgres@127.0.0.1:5432/postgres"),
    "Redis": ("REDIS_URL", "redis://127.0.0.1:6379/0"),
    "RabbitMQ": ("CELERY_BROKER_URL", "amqp://guest:guest@127.0.0.1:5672//"),
}
CHROMIUMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first needs a third of the time of the others: it has the pages' engine without the windows around them."""
MODEL = Path(__file__).parents[1] / "var/models"


@functools.cache
def absence_of(service):
    """Why a service cannot be tested against, empty where it answers."""
    variable, usual = SERVICES[service]
    address = os.environ.get(variable, "")
    parts = urlsplit(usual if "://127" not in address and "@" not in address else address)
    try:
        with socket.create_connection((parts.hostname, parts.port), timeout=2):
            return ""
    except OSError as error:
        return f"{service} does not answer at {parts.hostname}:{parts.port} ({error})"


@functools.cache
def chromium():
    return next(filter(None, map(shutil.which, CHROMIUMS)), None)


@functools.cache
def fetched_policy():
    """Directory of the real base policy where `make run` or `fetch_model` left one."""
    return next((manifest.parent for manifest in sorted(MODEL.glob("*/manifest.json"))), None)
