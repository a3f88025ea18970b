"""Notices of new ranking tasks, to annotators who asked for them."""

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.urls import reverse
from django.utils import timezone

from accounts import notices
from accounts.models import Notice
from accounts.roles import Role


def send() -> None:
    """At most one a day, and none to somebody who has not read the one before."""
    kind = notices.Kind.TASKS_WAIT
    asked = notices.people_of(Role.ANNOTATOR).filter(notice_choices__tasks_wait=True)
    unread = Notice.objects.filter(person=OuterRef("pk"), kind=kind, read_at=None)
    with transaction.atomic():
        told: dict[int, dict[str, str]] = {
            pk: {} for pk in asked.filter(~Exists(unread)).values_list("pk", flat=True)
        }
        notices.send(kind, told, about=f"day:{timezone.localdate():%Y-%m-%d}", link=reverse("rank"))
