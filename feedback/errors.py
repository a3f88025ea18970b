"""Errors of annotators, chatters and moderators: `code` for programs, `str(error)` for the person."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class Refusal(Exception):
    """Base of all of them, never raised itself. When one is raised, nothing has changed."""

    code = "refused"
    text: str | Promise = ""

    def __str__(self) -> str:
        return str(self.text)


# --- annotators --------------------------------------------------------------------------------


class TaskError(Refusal):
    """An annotator's action was refused."""


class AlreadySubmitted(TaskError):
    code = "already_submitted"
    text = _("You have already ranked this task. Your first ranking stands; nothing was changed.")


class NotYourTask(TaskError):
    code = "not_your_task"
    text = _("This task is no longer assigned to you: your time ran out, or somebody else got it. Take the next one.")


class NoLongerAllowed(TaskError):
    code = "no_longer_allowed"
    text = _("This text was withdrawn while you were ranking it, so your ranking is not needed. Take the next task.")


class BadFlags(TaskError):
    code = "bad_flags"
    text = _("A flag refers to a reply or a rule that is not part of this task. Reload the page.")


class RefusalMissing(BadFlags):
    code = "refusal_missing"
    text = _("Say whether the reply refuses what was asked.")


class TooLate(TaskError):
    code = "too_late"
    text = _("A ranking can be corrected or withdrawn within 24 hours. After that, ask a moderator.")


class TakenMeanwhile(TaskError):
    code = "taken_meanwhile"
    text = _("You had withdrawn this ranking, and other people judge the task now. Your answer is not needed.")


# --- chatters ------------------------------------------------------------------------


class FeedbackError(Refusal):
    """A thumb, a flag or a choice was refused."""


class NothingIsKept(FeedbackError):
    code = "temporary"
    text = _("This chat is temporary: nothing of it is kept, so it is not judged either.")


class BadReason(FeedbackError):
    code = "bad_reason"
    text = _("A reason is not on the list, or the comment is too long. Reload the page and try again.")


class StillWritten(FeedbackError):
    code = "still_written"
    text = _("The reply is still being written. Wait for it to finish.")


class AlreadyChosen(FeedbackError):
    code = "already_chosen"
    text = _("You have already chosen between these two replies. Your first choice stands.")


class Lapsed(FeedbackError):
    code = "lapsed"
    text = _("The conversation continued before you chose, so this choice no longer counts.")


class NotSeenYet(FeedbackError):
    code = "not_seen_yet"
    text = _("Wait until both replies have started, then choose.")


class NothingToCompare(FeedbackError):
    code = "nothing_to_compare"
    text = _("One of the two replies failed, so there is nothing to compare. Continue with the other one.")


# --- moderators --------------------------------------------------------------------------------


class ModerationError(Refusal):
    """A moderator's action was refused."""


class ReasonNeeded(ModerationError):
    code = "reason_needed"
    text = _("Give a reason. It is recorded in the audit log.")


class NothingToDo(ModerationError):
    code = "nothing_to_do"
    text = _("This has already been done; nothing was changed.")


class NotAllowed(ModerationError):
    code = "not_allowed"
    text = _("You do not have permission to do this.")


class NotTheirAccount(NotAllowed):
    text = _("You cannot suspend your own account, and only an admin can suspend a moderator or an admin.")


class AimsAtReporter(NotAllowed):
    code = "aims_at_reporter"
    text = _("%(name)s reported this text, so their account is not acted on because of it. Use the person's page.")

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return str(self.text) % {"name": self.name}


class NoteNeeded(ModerationError):
    code = "note_needed"
    text = _("Write the note first.")


class WarningNeeded(ModerationError):
    code = "warning_needed"
    text = _("Write what the person is warned about. They will read it.")


class BadEnd(ModerationError):
    code = "bad_end"
    text = _("A suspension must end in the future.")


class StaleUndo(ModerationError):
    code = "stale_undo"
    text = _(
        "This was undone or changed again in the meantime, so it cannot be undone. Check the item's current state."
    )
