"""Errors of the lecture: one class for each case, with its data."""

from django.utils.translation import gettext as _

from rlhf.errors import RlhfError


class LessonUnderWay(RlhfError):
    code = "lesson_under_way"

    def __init__(self, run_id: int | None) -> None:
        self.run_id = run_id
        super().__init__(
            _("The models of a text are being taught already (run %(run)s). Wait for it to finish, or cancel it.")
            % {"run": run_id or "?"}
        )


class NothingToTeach(RlhfError):
    code = "nothing_to_teach"

    def __init__(self, title: str) -> None:
        super().__init__(_("All these models have been taught on “%(title)s” already.") % {"title": title})


class NoSuchText(RlhfError):
    code = "no_such_text"

    def __init__(self, source: str) -> None:
        self.source = source
        super().__init__(_("There is no text “%(source)s”. Choose another one.") % {"source": source})


class UnknownFamilies(RlhfError):
    code = "unknown_families"

    def __init__(self, families: str, known: str) -> None:
        super().__init__(
            _("Unknown models: %(families)s. Known are: %(known)s.") % {"families": families, "known": known}
        )


class TextUnreadable(RlhfError):
    """What was taught cannot be read: files are gone or damaged."""

    code = "text_unreadable"

    def __init__(self, detail: str) -> None:
        super().__init__(
            _("The models of this text can't be read (%(detail)s). Teach them again.") % {"detail": detail}
        )
