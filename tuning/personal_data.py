"""What is kept of a person's own data and models, and what becomes of them when they leave."""

from collections.abc import Collection
from uuid import UUID

from accounts.models import User
from accounts.personal import Table

EXPORT: tuple[Table, ...] = (Table("tuning.DataFile", "owner"), Table("tuning.FineTune", "owner"))
EXCLUDED: dict[str, str] = {"tuning.Event": "what tuning.FineTune went through, told again"}


def forget_conversations(ids: Collection[UUID]) -> None:
    """Own data is no conversation."""


def forget_person(person: User) -> None:
    """Files and jobs go; a model that others still use stays, without its maker."""
    for file in person.data_files.all():
        file.path.unlink(missing_ok=True)
    person.fine_tunes.all().delete()
    person.data_files.all().delete()
