"""A person's lessons: their export, and their removal, with the models of their text, when the person leaves."""

from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from uuid import UUID

from django.db import transaction

from accounts.models import User
from accounts.personal import NotYet, Table
from base import shared_state
from lecture import taught
from rlhf.models import Run

EXPORT: tuple[Table, ...] = (Table("lecture.Lesson", "owner"),)
EXCLUDED: dict[str, str] = {}


def files(person: User) -> Iterator[tuple[str, object]]:
    """The texts themselves are among the person's files of data."""
    yield from ()


def forget_conversations(ids: Collection[UUID]) -> None:
    """Nothing to do: lessons hold no conversations."""


def forget_person(person: User) -> None:
    """Removes lessons and the models of their texts. Raises NotYet while one of them is being taught."""
    lessons = list(person.lessons.select_related("run"))
    if any(lesson.run is not None and lesson.run.is_live for lesson in lessons):
        raise NotYet("the models of a text of theirs are being taught")
    pks = {pk for lesson in lessons for pk in lesson.taught_by.values()}
    runs = Run.objects.filter(pk__in=pks)
    folders = [taught.output_of(run) / part for run in runs for part in _parts(run)]
    runs.update(result={}, progress={})
    person.lessons.all().delete()
    transaction.on_commit(partial(_remove, folders), robust=True)


def _parts(run: Run) -> list[str]:
    return [taught.CORPUS, *run.config.get("families", [])]


def _remove(folders: Collection[Path]) -> None:
    for folder in folders:
        shared_state.remove(folder)
