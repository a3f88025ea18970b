"""What every kind of question has: how an answer is read from a form, told in words, and compared with others."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from feedback.errors import TaskError
from feedback.judgements.judgement import Judgement
from feedback.models import Completion, RankingTask, RuleVersion, TaskAnswer

Said = dict[str, Any]
"""An answer as it is stored."""
Fields = Mapping[str, str]
"""An answer as its form has it: names of fields and their values. A draft is the same."""
LETTERS = "ABCDEFGHIJKLMNOP"


class BadAnswer(TaskError):
    """Something is missing in an answer, or does not fit its task; nothing was stored."""

    code = "bad_answer"
    text = _("The answer is not complete. Reload the page and try again.")

    def __init__(self, text: str = "") -> None:
        super().__init__()
        self.said = text

    def __str__(self) -> str:
        return self.said or super().__str__()


@dataclass(frozen=True)
class AskedTask:
    """A task as it stands before somebody."""

    task: RankingTask
    replies: list[Completion]
    """In the order of the page."""
    rule: RuleVersion | None
    """The wording in force of the rule that replies are graded by, if any."""
    attributes: list[str]

    @property
    def ids(self) -> list[int]:
        return [reply.pk for reply in self.replies]

    def lettered(self) -> list[tuple[str, Completion]]:
        return list(zip(LETTERS, self.replies, strict=False))


def asked(task: RankingTask, order: Sequence[int] = ()) -> AskedTask:
    """`order`: ids of the replies as they stand on the page; those that it does not name come last."""
    place = {pk: index for index, pk in enumerate(order)}
    replies = sorted(task.completions.all(), key=lambda reply: (place.get(reply.pk, len(place)), reply.index))
    project = task.project
    worded = RuleVersion.objects.filter(rule=project.rule_id).select_related("rule").order_by("-number")
    return AskedTask(task, replies, worded.first() if project.rule_id else None, list(project.attributes))


@dataclass(frozen=True)
class ToldLine:
    """A part of an answer in words."""

    name: str | Promise
    """What it is about, such as “Reply A”; empty where that is clear."""
    value: str | Promise


class QuestionKind(ABC):
    """One kind. A further one is a module with such a class, a template of its form in
    templates/feedback/questions/, and its line in feedback.questions.kinds."""

    key: ClassVar[str]
    """Of Project.Question."""
    heading: ClassVar[str | Promise]
    instruction: ClassVar[str | Promise]
    least: ClassVar[int] = 1
    most: ClassVar[int] = 16
    """Replies in a task."""
    threshold: ClassVar[float | None]
    """From which disagreement on, from 0 to 1, a lead decides; None: answers differ by nature, and each counts."""
    is_order: ClassVar[bool] = False
    """Answers are rankings, and stored as such."""

    @property
    def template(self) -> str:
        return f"feedback/questions/{self.key}.html"

    @abstractmethod
    def read(self, given: Fields, asked: AskedTask) -> Said:
        """Raises BadAnswer, BadRanking."""

    @abstractmethod
    def fields(self, said: Said, asked: AskedTask) -> dict[str, str]:
        """What `read` makes the same answer of."""

    @abstractmethod
    def page(self, given: Fields, asked: AskedTask) -> dict[str, Any]:
        """What the form's template shows."""

    @abstractmethod
    def told(self, said: Said, asked: AskedTask) -> list[ToldLine]:
        """The answer in words, for whoever reads it beside others."""

    @abstractmethod
    def disagreement(self, said: Sequence[Said]) -> float:
        """Of at least two answers to the same task, 0 to 1."""

    def judgement(self, said: Said, comment: str = "", active_seconds: float | None = None) -> Judgement:
        """Of a kind whose answers are rankings."""
        return Judgement(
            places=said["ranks"].items(),
            strength=dict(enumerate(said["strength"], start=1)),
            overall=said["overall"],
            comment=comment,
            active_seconds=active_seconds,
        )

    def keep(self, made: TaskAnswer, *, was_withdrawn: bool = False) -> None:
        """Stores what follows from an answer that was stored or changed: nothing, of most kinds."""
        return


def chosen(value: str, choices: Mapping[str, Any]) -> list[tuple[str, Any, bool]]:
    """(value, label, whether it is chosen) of each choice, for radio buttons."""
    return [(key, label, key == value) for key, label in choices.items()]
