"""The question for the best reply to a prompt, which the annotator writes."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django.conf import settings
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from feedback.models import Project
from feedback.questions import spread
from feedback.questions.kind import AskedTask, BadAnswer, Fields, QuestionKind, Said, ToldLine


class DemonstrateQuestion(QuestionKind):
    key = Project.Question.DEMONSTRATE
    heading = _("Write the best reply")
    instruction = _("Write the reply that the model should give here. It learns to write like you.")
    least = most = 0
    threshold: ClassVar[float | None] = None

    def read(self, given: Fields, asked: AskedTask) -> Said:
        return {"text": written(given)}

    def fields(self, said: Said, asked: AskedTask) -> dict[str, str]:
        return {"text": said["text"]}

    def page(self, given: Fields, asked: AskedTask) -> dict[str, Any]:
        return {"text": given.get("text", ""), "most_chars": settings.FEEDBACK_PROJECT_TEXT_CHARS}

    def told(self, said: Said, asked: AskedTask) -> list[ToldLine]:
        return [ToldLine("", said["text"])]

    def disagreement(self, said: Sequence[Said]) -> float:
        return spread.of_texts([one["text"] for one in said])


def written(given: Fields) -> str:
    """The text of a form, with the line ends of this site. Raises BadAnswer."""
    text = given.get("text", "").replace("\r\n", "\n").strip()
    if not text:
        raise BadAnswer(gettext("Write the reply first."))
    if len(text) > settings.FEEDBACK_PROJECT_TEXT_CHARS:
        most = settings.FEEDBACK_PROJECT_TEXT_CHARS
        raise BadAnswer(gettext("The reply is longer than %(n)d characters.") % {"n": most})
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise BadAnswer(gettext("The reply contains a character that cannot be stored."))
    return text
