"""The question whether each reply breaks one given rule, in the grades of Sparrow."""

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from feedback.judgements.rankings import BadRanking, parse_integer
from feedback.models import Project, RuleVersion, TaskAnswer, Violation
from feedback.moderation import flag_reports, reports
from feedback.questions import spread
from feedback.questions.kind import AskedTask, BadAnswer, Fields, QuestionKind, Said, ToldLine, chosen

Grade = Violation.Grade
FIELD = "grade-"
WIDTH = float(Grade.DEFINITELY_FOLLOWS - Grade.DEFINITELY_BREAKS)


class GradeQuestion(QuestionKind):
    key = Project.Question.GRADE
    heading = _("Does it break the rule?")
    instruction = _("Say of each reply whether it breaks this rule, and of no other one.")
    threshold = 0.5

    def read(self, given: Fields, asked: AskedTask) -> Said:
        grades = {str(pk): _grade(given.get(f"{FIELD}{pk}", "")) for pk in asked.ids}
        return {"rule_version": _version(given.get("version", ""), asked), "grades": grades}

    def fields(self, said: Said, asked: AskedTask) -> dict[str, str]:
        grades = {f"{FIELD}{pk}": str(grade) for pk, grade in said["grades"].items()}
        return {"version": str(said["rule_version"]), **grades}

    def page(self, given: Fields, asked: AskedTask) -> dict[str, Any]:
        grades = {str(value): label for value, label in Grade.choices}
        cards = [
            {"letter": letter, "reply": reply, "grades": chosen(given.get(f"{FIELD}{reply.pk}", ""), grades)}
            for letter, reply in asked.lettered()
        ]
        return {"cards": cards, "rule": asked.rule}

    def told(self, said: Said, asked: AskedTask) -> list[ToldLine]:
        labels = dict(Grade.choices)
        return [
            ToldLine(gettext("Reply %(letter)s") % {"letter": letter}, labels[said["grades"][str(reply.pk)]])
            for letter, reply in asked.lettered()
            if str(reply.pk) in said["grades"]
        ]

    def disagreement(self, said: Sequence[Said]) -> float:
        """The largest over the replies; who is unsure disagrees with nobody."""
        of_each = [[float(one["grades"][pk]) for one in said] for pk in said[0]["grades"]]
        sure = [[grade for grade in grades if grade != Grade.UNSURE] for grades in of_each]
        return max((spread.of_numbers(grades, WIDTH) for grades in sure), default=0.0)

    def keep(self, made: TaskAnswer, *, was_withdrawn: bool = False) -> None:
        """The grades as answers about the rule, as those in a ranking are; moderators hear of what is for them."""
        before = set() if was_withdrawn else _flagged(made)
        made.violations.all().delete()
        version = int(made.said["rule_version"])
        Violation.objects.bulk_create(
            Violation(
                rule_version_id=version,
                completion_id=int(pk),
                answer=made,
                annotator_id=made.annotator_id,
                is_violation=grade < Grade.UNSURE,
                grade=grade,
            )
            for pk, grade in made.said["grades"].items()
        )
        after = _flagged(made)
        reports.close_for_flags(made.annotator, before - after)
        flag_reports.open_for_flags(made.annotator, after - before)


def _flagged(made: TaskAnswer) -> set[tuple[int, int]]:
    rows = made.violations.filter(is_violation=True).values_list("completion_id", "rule_version_id")
    return {(completion or 0, version) for completion, version in rows}


def _grade(raw: str) -> int:
    grades = {str(value): value for value in Grade.values}
    if raw not in grades:
        raise BadAnswer(gettext("Say of each reply whether it breaks the rule."))
    return int(grades[raw])


def _version(raw: str, asked: AskedTask) -> int:
    """The wording that stood on the page, whichever is in force by now."""
    try:
        pk = parse_integer(raw)
    except BadRanking:
        raise BadAnswer from None
    if not RuleVersion.objects.filter(pk=pk, rule=asked.task.project.rule_id).exists():
        raise BadAnswer
    return pk
