"""The question what a reply should have been: the annotator edits it."""

from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from feedback.models import Project
from feedback.questions.demonstrate import DemonstrateQuestion, written
from feedback.questions.kind import AskedTask, BadAnswer, Fields, Said


class CorrectQuestion(DemonstrateQuestion):
    key = Project.Question.CORRECT
    heading = _("Correct the reply")
    instruction = _("Change the reply into the one that it should have been, and no more than that takes.")
    least = most = 1
    threshold = 0.5

    def read(self, given: Fields, asked: AskedTask) -> Said:
        text, (reply,) = written(given), asked.replies
        if text == reply.text.strip() and not given.get("as_it_is"):
            raise BadAnswer(
                gettext("You have changed nothing. If the reply is right as it is, say so below the text.")
            )
        return {"completion": reply.pk, "text": text}

    def fields(self, said: Said, asked: AskedTask) -> dict[str, str]:
        (reply,) = asked.replies
        is_same = said["text"] == reply.text.strip()
        return {"text": said["text"], **({"as_it_is": "on"} if is_same else {})}

    def page(self, given: Fields, asked: AskedTask) -> dict[str, Any]:
        (reply,) = asked.replies
        text = given.get("text", reply.text)
        return {
            **super().page({"text": text}, asked),
            "original": reply.text,
            "as_it_is": bool(given.get("as_it_is")),
        }
