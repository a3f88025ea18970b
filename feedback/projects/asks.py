"""Whether a project's question, its replies and what the question needs fit together."""

from collections.abc import Sequence

from django.utils.translation import gettext as _

from feedback.models import Project, Rule
from feedback.projects.errors import QuestionRefused
from feedback.projects.prompt_files import NO_REPLIES, Bounds
from feedback.questions.kinds import KINDS
from feedback.questions.rate import MOST_ATTRIBUTES, MOST_CHARS

Question, Replies = Project.Question, Project.Replies


def replies_in_file(question: str, replies: str) -> Bounds:
    """How many replies each line of a project's file has to have."""
    kind = KINDS[question]
    return (kind.least, kind.most) if replies == Replies.PASTED else NO_REPLIES


def replies_from(question: str, chosen: str) -> str:
    """Where nobody's reply is asked about, there are none, whatever was chosen."""
    return Replies.NONE if KINDS[question].most == 0 else chosen


def completions_for(question: str, wanted: int) -> int:
    """The number of replies in a task: as wanted, as far as the question allows."""
    kind = KINDS[question]
    return min(max(wanted, kind.least), max(kind.most, 1))


def check(question: str, replies: str, completions: int, rule: Rule | None, attributes: Sequence[str]) -> None:
    """Raises QuestionRefused."""
    kind = KINDS[question]
    if (replies == Replies.NONE) != (kind.most == 0):
        raise QuestionRefused("replies", _("This question needs other replies: choose who writes them."))
    if kind.most and not kind.least <= completions <= kind.most:
        told = {"least": kind.least, "most": kind.most}
        raise QuestionRefused(
            "completions_per_task", _("This question is about %(least)d to %(most)d replies.") % told
        )
    if question == Question.GRADE and (rule is None or rule.retired_at is not None):
        raise QuestionRefused("rule", _("Choose the rule that replies are graded by."))
    _check_attributes(question, attributes)


def _check_attributes(question: str, attributes: Sequence[str]) -> None:
    if question != Question.RATE:
        return
    if not 1 <= len(attributes) <= MOST_ATTRIBUTES:
        raise QuestionRefused("attributes", _("Name 1 to %(n)d attributes.") % {"n": MOST_ATTRIBUTES})
    if len(set(attributes)) < len(attributes):
        raise QuestionRefused("attributes", _("An attribute is there twice."))
    if any(not name.strip() or len(name) > MOST_CHARS or "\0" in name for name in attributes):
        raise QuestionRefused(
            "attributes", _("An attribute is a word or a few, of at most %(n)d characters.") % {"n": MOST_CHARS}
        )


def read_attributes(text: str) -> list[str]:
    """Of a text with commas between them."""
    return [name.strip() for name in text.split(",") if name.strip()]
