"""Consistency checks of lessons: whatever a row says was taught is there, as it was published (settings.FSCK)."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from base import shared_state
from base.fsck import Check
from lecture import taught
from lecture.models import Lesson
from rlhf.models import Run


def taught_models_are_there() -> Iterator[str]:
    for lesson in Lesson.objects.all():
        for part, run_id in lesson.taught_by.items():
            run = Run.objects.filter(pk=run_id).first()
            if run is None:
                yield f"lesson {lesson.pk}: {part} was taught by run {run_id}, which does not exist"
            else:
                yield from _wrong_with(f"lesson {lesson.pk}: {part}", taught.output_of(run) / part)


def _wrong_with(what: str, path: Path) -> Iterator[str]:
    if shared_state.is_on() and not path.is_dir():
        if not shared_state.is_stored(path):
            yield f"{what} is not in the shared state: manage.py publish_state"
        return
    try:
        listed = json.loads((path / shared_state.MANIFEST).read_text())["files"]
        for name, entry in listed.items():
            with (path / name).open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != entry["sha256"]:
                    yield f"{what}: {name} differs from the manifest"
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield f"{what}: {error!r}"


CHECKS: tuple[Check, ...] = ((9, taught_models_are_there),)
"""With the number of the promise: what rows and files say of each other (9)."""
