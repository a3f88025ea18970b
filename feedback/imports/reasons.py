"""Why a line of an imported file, or a part of it, is left out."""

from dataclasses import dataclass

from django.db import models
from django.utils.translation import gettext_lazy as _


class LeftOutReason(models.TextChoices):
    NOT_JSON = "not_json", _("The line is not a JSON object.")
    NOT_UTF8 = "not_utf8", _("The line is not text in UTF-8.")
    TOO_LONG = "too_long", _("The line or a text in it is too long.")
    MISSING = "missing", _("A field is missing, or is not of the expected kind:")
    FORBIDDEN = "forbidden", _("A text contains characters that cannot be stored.")
    NO_PROMPT = "no_prompt", _("There is no question of a user before the reply.")
    TURNS = "turns", _("The turns of the conversation do not alternate between user and assistant.")
    FEW_REPLIES = "few_replies", _("There are fewer than two ranked replies.")
    MANY_REPLIES = "many_replies", _("There are more replies than can be ranked together.")
    RANKS = "ranks", _("The ranks do not say one place for each reply.")
    SAME_TEXT = "same_text", _("The two replies are the same.")
    DIFFERENT_CONTEXT = "different_context", _("The two conversations differ before the last reply.")
    NO_JUDGEMENT = "no_judgement", _("Nobody judged it.")
    NO_CHOICE = "no_choice", _("The judgement does not say which reply is better.")
    UNKNOWN_RULE = "unknown_rule", _("This site has no rule of this name:")
    OTHER_WORDING = "other_wording", _("The rule was worded differently there:")
    ALREADY_HERE = "already_here", _("This judgement by the same person is already here.")


@dataclass
class UnusableLine(ValueError):
    """A line, or one judgement in it, that cannot be used."""

    reason: LeftOutReason
    about: str = ""
    """The name of a field or a rule, or nothing."""

    def __str__(self) -> str:
        return f"{self.reason.label} {self.about}".rstrip()


@dataclass(frozen=True)
class LeftOut:
    """What was left out, and where; counted from 1. Of a file that is one list, `line` is the place in the list."""

    line: int
    reason: LeftOutReason
    about: str = ""

    def as_json(self) -> list[object]:
        return [self.line, self.reason.value, self.about]
