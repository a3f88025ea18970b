"""How many bytes a person may keep on the site: their files and what they imported, counted together."""

from importlib import import_module
from typing import Any, Protocol, cast

from django.conf import settings
from django.db.models import Func, IntegerField

from accounts.models import User


class Keeper(Protocol):
    """A module of settings.STORED_BYTES."""

    def stored_bytes(self, person: User) -> int: ...


class QuotaSpent(Exception):
    """Something would not fit beside what the person keeps already."""

    def __init__(self, megabytes: int) -> None:
        super().__init__(f"more than {megabytes} MB")
        self.megabytes = megabytes


class OctetLength(Func):
    """The bytes of a text in UTF-8."""

    function = "OCTET_LENGTH"
    output_field = IntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """SQLite has the function since 3.43 only."""
        return self.as_sql(compiler, connection, template="LENGTH(CAST(%(expressions)s AS BLOB))", **context)


def bytes_left(person: User) -> int:
    keepers = (cast(Keeper, import_module(name)) for name in settings.STORED_BYTES)
    used = sum(keeper.stored_bytes(person) for keeper in keepers)
    return max(0, (int(settings.QUOTA_MB) << 20) - used)


def check(person: User, size_bytes: int) -> None:
    """Raises QuotaSpent."""
    if size_bytes > bytes_left(person):
        raise QuotaSpent(int(settings.QUOTA_MB))
