"""What a person at the command line gives, as the site knows it: a user, a base, a file that becomes theirs."""

from pathlib import Path

from django.core.management.base import CommandError

from accounts.models import User
from base.commands import Exit
from chat.models import Policy
from fine_tuning import bases
from fine_tuning.data import receiving
from fine_tuning.models import DataFile

BLOCK = 2**20


def user_named(name: str | None) -> User:
    """The one of that name; without one, the first admin. Raises CommandError."""
    users = User.objects.filter(is_active=True).order_by("pk")
    found = users.filter(username=name).first() if name else users.filter(is_superuser=True).first() or users.first()
    if found is None:
        raise CommandError(f"there is no user {name!r}" if name else "there is no user yet", returncode=Exit.USAGE)
    return found


def base_named(person: User, name: str) -> Policy:
    found = bases.named(person, name)
    if found is None:
        raise CommandError(f"there is no model {name!r} for {person.username}", returncode=Exit.USAGE)
    return found


def file_at(person: User, path: Path) -> DataFile:
    if not path.is_file():
        raise CommandError(f"there is no file {path}", returncode=Exit.USAGE)
    with path.open("rb") as stream:
        return receiving.take(person, path.name, iter(lambda: stream.read(BLOCK), b""))
