"""The Celery application. Its tasks are short: long work is owned by rows of the database."""

import os

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

TRANSPORT_ALIASES["filesystem"] = "config.broker:Transport"
app = Celery("chamsae")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
