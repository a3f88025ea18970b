"""Accounts for people who judged elsewhere: they tell these people apart, and nobody can sign in with them."""

import re
from collections.abc import Collection

from django.utils.crypto import salted_hmac

from accounts.models import User
from feedback.imports.formats import OWN
from feedback.models import ImportedAnnotator

PSEUDONYM = re.compile(r"[0-9a-f]{16}")


def accounts(names: Collection[str], source: str) -> dict[str, User]:
    """The account of each name of this source, made if there is none. An empty name is all whom it does not name."""
    keys = {name: _key_of(name, source) for name in names}
    wanted = ImportedAnnotator.objects.filter(source=source, key__in=keys.values()).select_related("user")
    known = {row.key: row.user for row in wanted}
    for key in sorted(set(keys.values()) - set(known)):
        known[key] = _new(source, key)
    return {name: known[key] for name, key in keys.items()}


def _key_of(name: str, source: str) -> str:
    """A pseudonym of this site or another one stays as it is; of a name or an address, only a hash is kept."""
    if source in OWN and PSEUDONYM.fullmatch(name):
        return name
    return salted_hmac("feedback.imports.annotator", f"{source}:{name}", algorithm="sha256").hexdigest()[:16]


def _new(source: str, key: str) -> User:
    user = User(username=f"imported-{source}-{key}", is_imported=True)
    user.set_unusable_password()
    user.save()
    ImportedAnnotator.objects.create(user=user, source=source, key=key)
    return user
