"""Whether an answer came faster than its texts can be read."""

import unicodedata
from collections.abc import Iterable

from django.conf import settings

from feedback.models import Ranking, TaskAnswer
from feedback.programs import is_measured

WIDE = 987 / 357
"""Letters that an ideograph, kana or Hangul syllable is worth: people read 987 characters a minute of English and 357
of Japanese (Trauzettel-Klosinski and Dietz 2012, IOVS 53(9))."""


def least_seconds(texts: Iterable[str]) -> float:
    """In which the texts can be read at the fastest; 0 where the site sets no speed."""
    fastest = settings.FEEDBACK_READING_SPEED
    return sum(map(_letters, texts)) / fastest if fastest else 0.0


def _letters(text: str) -> float:
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide * (WIDE - 1)


def _texts_of(made: Ranking | TaskAnswer) -> list[str]:
    """The conversation and the replies, as they stood on the page."""
    turns = [str(turn["content"]) for turn in made.task.prompt.messages]
    return turns + [completion.text for completion in made.task.completions.all()]


def seconds_of(made: Ranking | TaskAnswer) -> float:
    """The active time where it is known, else the whole."""
    return made.seconds if made.active_seconds is None else made.active_seconds


def least_for(made: Ranking | TaskAnswer) -> float:
    """Seconds in which all that it is about can be read at the fastest."""
    return least_seconds(_texts_of(made))


def is_too_fast(made: Ranking | TaskAnswer) -> bool:
    """A program needs no time, unless it stands for a person."""
    return is_measured(made) and seconds_of(made) < least_for(made)
