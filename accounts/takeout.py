"""Export of everything that the site stores about a person, as a zip of JSON files."""

import json
from typing import IO
from zipfile import ZIP_DEFLATED, ZipFile

from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone

from accounts import personal
from accounts.models import User


def write(person: User, target: IO[bytes]) -> None:
    """Writes one file per table, and `about.json` with their numbers of rows and why other tables are left out."""
    about: dict[str, object] = {"account": person.username, "made_at": timezone.now().isoformat()}
    counts: dict[str, int] = {}
    excluded: dict[str, str] = {}
    with ZipFile(target, "w", ZIP_DEFLATED) as archive:
        for app in personal.modules():
            excluded |= app.EXCLUDED
            for table in app.EXPORT:
                with archive.open(f"tables/{table.label}.json", "w") as file:
                    counts[table.label] = _write_rows(table, person, file)
            for name, document in getattr(app, "files", lambda _: ())(person):
                archive.writestr(name, _encoded(document))
        archive.writestr("about.json", _encoded(about | {"rows": counts, "left_out": excluded}))


def _write_rows(table: personal.Table, person: User, file: IO[bytes]) -> int:
    """Writes a JSON list and returns its length."""
    count = 0
    file.write(b"[")
    for row in table.rows(person):
        file.write(b",\n" if count else b"\n")
        file.write(_encoded(row))
        count += 1
    file.write(b"\n]\n")
    return count


def _encoded(value: object) -> bytes:
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False).encode()
