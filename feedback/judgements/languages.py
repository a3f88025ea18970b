"""The languages in which an annotator judges: the tasks of others are not offered to them."""

from collections.abc import Collection

from django.conf import settings
from django.utils.translation import get_language

from accounts.models import User
from chat.languages import name_of
from feedback.models import RankingTask

FALLBACK = "en"
"""Read by everybody who has not said otherwise, beside the language of their pages."""


def languages_of(annotator: User) -> list[str]:
    """Those that they chose in their settings, else the page's and English."""
    page = get_language() or annotator.language or settings.LANGUAGE_CODE
    return annotator.judging_languages or sorted({page, FALLBACK})


def offered() -> list[str]:
    """Those that an annotator can choose from: the site's, and those of its tasks."""
    return list(dict.fromkeys([*(code for code, _name in settings.LANGUAGES), *settings.FEEDBACK_LANGUAGES]))


def choose(annotator: User, codes: Collection[str]) -> None:
    """Stores the choice; none of the offered ones means that it follows the page again."""
    annotator.judging_languages = [code for code in offered() if code in codes]
    annotator.save(update_fields=["judging_languages"])


def named(codes: Collection[str]) -> str:
    return ", ".join(name_of(code) for code in codes)


def only_others(annotator: User) -> list[str]:
    """The languages of the site's tasks, if the annotator has none of them; else nothing."""
    waiting = RankingTask.objects.filter(state=RankingTask.State.OPEN)
    found = set(waiting.order_by().values_list("prompt__language", flat=True)) | set(settings.FEEDBACK_LANGUAGES)
    return [] if found & set(languages_of(annotator)) else sorted(found)
