"""Why a project, its file, its people or a link was refused."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from feedback.errors import Refusal


@dataclass(frozen=True)
class LineError:
    """What is wrong with one line of a file; line 0 is the file itself."""

    line: int
    text: str

    def __str__(self) -> str:
        return gettext("Line %(line)d: %(text)s") % {"line": self.line, "text": self.text} if self.line else self.text


class ProjectError(Refusal):
    """Something about a project was refused; nothing was changed."""

    code = "project_refused"


class LinesRefused(ProjectError):
    """Of a file; `lines` names each that is wrong."""

    SHOWN = 50

    def __init__(self, lines: Sequence[LineError]) -> None:
        super().__init__()
        self.lines = list(lines)

    def __str__(self) -> str:
        said = [str(line) for line in self.lines[: self.SHOWN]]
        more = len(self.lines) - len(said)
        return "\n".join([*said, *([gettext("… and %(n)d more lines.") % {"n": more}] if more else [])])

    @property
    def shown(self) -> list[str]:
        return str(self).split("\n")


class PromptFileRefused(LinesRefused):
    code = "bad_prompts"


class PeopleRefused(LinesRefused):
    code = "bad_people"


class BadLanguages(ProjectError):
    code = "bad_languages"

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class KeyTaken(ProjectError):
    code = "key_taken"
    text = _("Another project has this key, or it is a word that the site needs. Choose another one.")


class QuestionRefused(ProjectError):
    """`about`: the field of a form that is wrong."""

    code = "bad_question"

    def __init__(self, about: str, text: str) -> None:
        super().__init__()
        self.about, self.said = about, text

    def __str__(self) -> str:
        return self.said


class NotForTheSite(ProjectError):
    code = "not_for_the_site"
    text = _("The site's own stream cannot be stopped, cloned or given prompts: its prompts are the site's.")


class NotToBeDecided(ProjectError):
    code = "not_to_be_decided"
    text = _("There is nothing to decide here: somebody was quicker, or you judged the task yourself.")


class NotAMember(ProjectError):
    code = "not_a_member"
    text = _("This person is not a member of the project.")


class LinkInvalid(ProjectError):
    code = "link_invalid"
    text = _(
        "This link is not valid any more: it has expired, was revoked, or was used by as many people as it is for."
    )
