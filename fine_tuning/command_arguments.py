"""Turns arguments of commands into the site's objects: a user, a base model, an uploaded file."""

from pathlib import Path

from django.core.management.base import CommandError

from accounts.models import User
from base.commands import Exit
from chat.models import Policy
from fine_tuning import base_models
from fine_tuning.data import uploads
from fine_tuning.models import DataFile

BLOCK = 2**20


def user_named(name: str | None) -> User:
    """The user of that name; without a name, the first admin. Raises CommandError."""
    users = User.objects.filter(is_active=True).order_by("pk")
    found = users.filter(username=name).first() if name else users.filter(is_superuser=True).first() or users.first()
    if found is None:
        raise CommandError(f"there is no user {name!r}" if name else "there is no user yet", returncode=Exit.USAGE)
    return found


def base_named(person: User, name: str) -> Policy:
    """Raises CommandError."""
    found = base_models.find(person, name)
    if found is None:
        raise CommandError(f"there is no model {name!r} for {person.username}", returncode=Exit.USAGE)
    return found


def file_at(person: User, path: Path) -> DataFile:
    """Uploads the file as the person's. Raises CommandError, TuningError."""
    if not path.is_file():
        raise CommandError(f"there is no file {path}", returncode=Exit.USAGE)
    with path.open("rb") as stream:
        return uploads.store(person, path.name, iter(lambda: stream.read(BLOCK), b""))
