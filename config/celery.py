"""The Celery application. Its tasks are short: long work is owned by rows of the database."""

import os
from typing import Any

from celery import Celery
from celery.signals import worker_ready
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

TRANSPORT_ALIASES["filesystem"] = "config.broker:Transport"
app = Celery("chamsae")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_ready.connect
def _tidy_this_host(**_sent: Any) -> None:
    from base import host_tidying  # Django's settings are configured by now

    host_tidying.start()
