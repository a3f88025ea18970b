"""What each model of the lecture must be worth on the default text; `make lecture` holds the figures to it."""

from collections.abc import Iterator
from dataclasses import dataclass

from lecture import figures
from lecture.models import Lesson

PERPLEXITY_MOST = {"kneser-ney 2": 65.0, "kneser-ney 3": 47.0, "kneser-ney 5": 41.0, "lstm": 60.0}
"""Of the King James Version's held-out chapters; of the LSTM after two minutes of one thread."""
FIT_S_MOST = 15.0


@dataclass(frozen=True)
class LectureFloor:
    what: str
    measured: float
    most: float

    @property
    def holds(self) -> bool:
        return self.measured <= self.most


def lecture_floors(lesson: Lesson) -> Iterator[LectureFloor]:
    """Of the models that were taught."""
    for row in figures.rows(lesson):
        if row.name in PERPLEXITY_MOST and row.perplexity is not None:
            yield LectureFloor(f"perplexity of {row.name}", row.perplexity, PERPLEXITY_MOST[row.name])
        if row.name == "kneser-ney 5":
            yield LectureFloor("seconds to count", row.seconds, FIT_S_MOST)


def floor_lines(lesson: Lesson) -> list[str]:
    return [_line(floor) for floor in lecture_floors(lesson)]


def _line(floor: LectureFloor) -> str:
    missed = "" if floor.holds else "MISSED"
    return f"{floor.what:<28} {floor.measured:>8.1f}   at most {floor.most:<6g} {missed}".rstrip()
