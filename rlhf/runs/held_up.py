"""Tells admins that a cycle is due and cannot start: once for each reason since the last cycle."""

from django.db import transaction
from django.urls import reverse

from accounts import notices
from accounts.roles import Role
from rlhf.models import Run


def tell(error: Exception) -> None:
    """The notice leads to the training page, which names all reasons as they are when it is read."""
    last = Run.objects.filter(kind=Run.Kind.CYCLE).values_list("pk", flat=True).order_by("-pk").first()
    admins = notices.people_of(Role.ADMIN).values_list("pk", flat=True)
    with transaction.atomic():
        notices.send(
            notices.Kind.CYCLE_HELD_UP,
            {pk: {} for pk in admins},
            about=f"cycle-after:{last or 0}:{getattr(error, 'code', type(error).__name__)}",
            link=reverse("training"),
        )
