"""What was taught on a text, as the pages read it: its directories, its vocabulary, its counts."""

from functools import lru_cache
from pathlib import Path

from django.db.models import Q, QuerySet

from accounts.models import User
from base import shared_state
from base.state_errors import StateError
from lecture.errors import TextUnreadable
from lecture.models import Lesson
from rlhf.models import Run
from rlhf.training.lecture import arrays
from rlhf.training.lecture.answering import TaughtNetwork
from rlhf.training.lecture.arrays import BadArrays
from rlhf.training.lecture.counting import CountTable
from rlhf.training.lecture.material import CorpusDirectory

CORPUS, COUNTING = "corpus", "counting"
COUNTS = "counts.safetensors"
KEPT = 4
"""Texts whose tables stay in memory."""


def for_reader(person: User) -> QuerySet[Lesson]:
    """The site's texts and the person's own."""
    return Lesson.objects.filter(Q(owner=None) | Q(owner=person)).select_related("run")


def output_of(run: Run) -> Path:
    return run.path / "lecture"


def directory(lesson: Lesson, part: str) -> Path:
    """Raises TextUnreadable where it was not taught or is not here."""
    run = Run.objects.filter(pk=lesson.taught_by.get(part)).first()
    if run is None:
        raise TextUnreadable(part)
    try:
        path = shared_state.pull(output_of(run) / part)
    except (OSError, StateError) as error:
        raise TextUnreadable(str(error)) from error
    if not path.is_dir():
        raise TextUnreadable(str(path))
    return path


def material(lesson: Lesson) -> CorpusDirectory:
    """Raises TextUnreadable."""
    return _material(directory(lesson, CORPUS))


def counts(lesson: Lesson) -> CountTable:
    """Raises TextUnreadable."""
    try:
        return _counts(directory(lesson, COUNTING) / COUNTS)
    except (OSError, BadArrays) as error:
        raise TextUnreadable(str(error)) from error


def network(lesson: Lesson, family: str) -> TaughtNetwork:
    """Raises TextUnreadable."""
    try:
        return _network(directory(lesson, family))
    except (OSError, ValueError, BadArrays) as error:
        raise TextUnreadable(str(error)) from error


@lru_cache(maxsize=4 * KEPT)
def _network(path: Path) -> TaughtNetwork:
    return TaughtNetwork(path)


@lru_cache(maxsize=KEPT)
def _material(path: Path) -> CorpusDirectory:
    return CorpusDirectory(path)


@lru_cache(maxsize=KEPT)
def _counts(path: Path) -> CountTable:
    return CountTable.from_arrays(arrays.read(path))
