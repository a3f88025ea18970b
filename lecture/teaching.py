"""Orders the run that teaches what is missing on a text."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from django.conf import settings
from django.db import IntegrityError, transaction

from accounts import audit
from accounts.models import User
from lecture.errors import LessonUnderWay, NoSuchText, NothingToTeach, UnknownFamilies
from lecture.models import Lesson
from rlhf.models import Run
from rlhf.runs import leases

COUNTING = ("counting",)
NETWORKS = ("rnn", "lstm", "gpt", "bert")
FAMILIES = COUNTING + NETWORKS
DATA = "data:"
MINUTES = 20
MOST_MINUTES = 24 * 60


class OwnTexts(Protocol):
    """Interface of another app's texts of people; settings.LECTURE_TEXTS names the module."""

    def titles(self, person: User) -> list[tuple[str, str]]:
        """[(id, title)]"""

    def path(self, person: User, file_id: str) -> Path | None:
        """None where the person has no such file. Raises OSError."""


def texts() -> OwnTexts:
    return cast(OwnTexts, import_module(settings.LECTURE_TEXTS))


def start(
    person: User | None, source: str, families: Sequence[str] = FAMILIES, *, minutes: int = MINUTES, seed: int = 0
) -> Run:
    """Queues a run; the caller sends it to a worker or drives it. NoSuchText, UnknownFamilies, NothingToTeach,
    LessonUnderWay."""
    unknown = [family for family in families if family not in FAMILIES]
    if unknown:
        raise UnknownFamilies(", ".join(unknown), ", ".join(FAMILIES))
    owner = person if source.startswith(DATA) else None
    title = _title(owner, source)
    try:
        with transaction.atomic():
            lesson, _is_new = Lesson.objects.get_or_create(owner=owner, source=source, defaults={"title": title})
            missing = [family for family in families if family not in lesson.taught_by]
            if not missing:
                raise NothingToTeach(lesson.title)
            return _ordered(lesson, person, {"families": missing, "minutes": minutes, "seed": seed})
    except IntegrityError as error:
        live = Run.objects.filter(kind=Run.Kind.LECTURE, state__in=Run.WORKING).first()
        raise LessonUnderWay(live.pk if live else None) from error


def _ordered(lesson: Lesson, person: User | None, config: dict[str, object]) -> Run:
    run = Run.objects.create(
        kind=Run.Kind.LECTURE,
        config={**config, "lesson": lesson.pk},
        started_by=person,
        lease_until=leases.later(leases.NUDGE_AFTER),
    )
    lesson.run = run
    lesson.save(update_fields=["run"])
    audit.record(person, "run.start", run, after={"lesson": lesson.pk, **config})
    return run


def _title(owner: User | None, source: str) -> str:
    """The file's name, or the last part of the source. NoSuchText."""
    if owner is None and source.startswith(DATA):
        raise NoSuchText(source)
    if owner is None:
        return source.rstrip("/").removeprefix("pypi:").rpartition("/")[2][:200]
    titles = dict(texts().titles(owner))
    if source.removeprefix(DATA) not in titles:
        raise NoSuchText(source)
    return titles[source.removeprefix(DATA)][:200]


def located(lesson: Lesson) -> str:
    """The source as a training process reads it: a file of the owner's as its path. NoSuchText, OSError."""
    if not lesson.source.startswith(DATA):
        return lesson.source
    path = texts().path(lesson.owner, lesson.source.removeprefix(DATA)) if lesson.owner is not None else None
    if path is None:
        raise NoSuchText(lesson.title)
    return str(path)
