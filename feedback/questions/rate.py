"""The question how good each reply is, from 1 to 7, by the attributes that the project names."""

from collections.abc import Sequence
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from feedback.models import Project
from feedback.questions import spread
from feedback.questions.kind import AskedTask, BadAnswer, Fields, QuestionKind, Said, ToldLine

LOWEST, HIGHEST = 1, 7
STEPS = {str(step): step for step in range(LOWEST, HIGHEST + 1)}
MOST_ATTRIBUTES, MOST_CHARS = 8, 40
USUAL = ("helpfulness", "correctness", "style")
KNOWN: dict[str, str | Promise] = {
    "helpfulness": _("helpfulness"),
    "correctness": _("correctness"),
    "style": _("style"),
    "coherence": _("coherence"),
    "complexity": _("complexity"),
    "verbosity": _("verbosity"),
    "safety": _("safety"),
}
"""Attributes that have a name in every language of the site; others are shown as the project words them."""


class RateQuestion(QuestionKind):
    key = Project.Question.RATE
    heading = _("Rate the replies")
    instruction = _("Rate each reply from 1, very bad, to 7, very good.")
    threshold = 0.5

    def read(self, given: Fields, asked: AskedTask) -> Said:
        rated = {
            str(pk): {name: _step(given.get(_field(pk, n), "")) for n, name in enumerate(asked.attributes)}
            for pk in asked.ids
        }
        return {"ratings": rated}

    def fields(self, said: Said, asked: AskedTask) -> dict[str, str]:
        return {
            _field(pk, n): str(said["ratings"][str(pk)][name])
            for pk in asked.ids
            for n, name in enumerate(asked.attributes)
        }

    def page(self, given: Fields, asked: AskedTask) -> dict[str, Any]:
        cards = [
            {
                "letter": letter,
                "reply": reply,
                "attributes": [
                    {
                        "label": label(name),
                        "field": _field(reply.pk, n),
                        "steps": [(step, given.get(_field(reply.pk, n), "") == step) for step in STEPS],
                    }
                    for n, name in enumerate(asked.attributes)
                ],
            }
            for letter, reply in asked.lettered()
        ]
        return {"cards": cards}

    def told(self, said: Said, asked: AskedTask) -> list[ToldLine]:
        return [
            ToldLine(
                gettext("Reply %(letter)s") % {"letter": letter},
                ", ".join(f"{label(name)} {step}" for name, step in said["ratings"][str(reply.pk)].items()),
            )
            for letter, reply in asked.lettered()
            if str(reply.pk) in said["ratings"]
        ]

    def disagreement(self, said: Sequence[Said]) -> float:
        """The largest over the replies and attributes."""
        first = said[0]["ratings"]
        parts = [[float(one["ratings"][pk][name]) for one in said] for pk, rated in first.items() for name in rated]
        return max((spread.of_numbers(part, HIGHEST - LOWEST) for part in parts), default=0.0)


def label(name: str) -> str | Promise:
    return KNOWN.get(name, name)


def _field(completion: int, number: int) -> str:
    return f"rate-{completion}-{number}"


def _step(raw: str) -> int:
    if raw not in STEPS:
        raise BadAnswer(gettext("Rate each reply by each attribute, from 1 to 7."))
    return STEPS[raw]
