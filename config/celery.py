"""The Celery application: its tasks are thin, for the database owns all long work."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("chamsae")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
