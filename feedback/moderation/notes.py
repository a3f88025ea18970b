"""Notes of moderators on a text or an account, which moderators alone read."""

from django.db import transaction
from django.db.models import QuerySet

from accounts.audit import record
from accounts.models import User
from accounts.roles import Role
from feedback.errors import NotAllowed, NoteNeeded
from feedback.models import ModeratorNote
from feedback.moderation.items import Text, key_of

LONGEST = 2000


@transaction.atomic
def add(about: Text | User, author: User, text: str) -> ModeratorNote:
    """The audit log says that there is a note, not what it says. Raises NoteNeeded, NotAllowed."""
    if not author.has_role(Role.MODERATOR):
        raise NotAllowed
    if not text.strip():
        raise NoteNeeded
    note = ModeratorNote.objects.create(**_lookup(about), author=author, text=text.strip()[:LONGEST])
    record(author, "note.add", about, after={"note": note.pk})
    return note


def of(about: Text | User) -> QuerySet[ModeratorNote]:
    """Oldest first."""
    return ModeratorNote.objects.filter(**_lookup(about)).select_related("author")


def _lookup(about: Text | User) -> dict[str, int]:
    return {"account_id": about.pk} if isinstance(about, User) else key_of(about).lookup
