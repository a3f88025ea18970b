"""Errors of uploaded files and fine-tuning jobs: one class for each case, with its data."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

SHOWN = 50
"""So many problems of a file are listed; of the others only the number is reported."""


@dataclass(frozen=True)
class LineProblem:
    """A line that cannot be used, or that a person should know of."""

    line: int
    code: str
    text: str

    def __str__(self) -> str:
        return _("line %(line)d: %(text)s") % {"line": self.line, "text": self.text}


class ProblemList(list[LineProblem]):
    """The first problems of a file; `total` counts all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def add(self, problem: LineProblem) -> None:
        self.total += 1
        if len(self) < SHOWN:
            self.append(problem)


class TuningError(Exception):
    """Its text is shown to people: what happened and what to do."""

    code = "tuning"
    status = 400
    param: str | None = None
    """The field of the request that is wrong."""


class BadFile(TuningError):
    """A file that nothing can be learned from, with its bad lines."""

    code = "invalid_file"
    param = "file"

    def __init__(self, problems: Sequence[LineProblem], total: int | None = None) -> None:
        self.problems = list(problems)[:SHOWN]
        self.total = total if total is not None else len(problems)
        super().__init__(self._text())

    def _text(self) -> str:
        lines = "; ".join(str(problem) for problem in self.problems)
        rest = self.total - len(self.problems)
        if rest <= 0:
            return _("The file can't be used: %(lines)s.") % {"lines": lines}
        return _("The file can't be used: %(lines)s; and %(rest)d more lines.") % {"lines": lines, "rest": rest}


class FileTooLarge(TuningError):
    code = "file_too_large"
    status = 413
    param = "file"

    def __init__(self, megabytes: int) -> None:
        self.megabytes = megabytes
        super().__init__(_("The file is larger than %(size)d MB. Split it.") % {"size": megabytes})


class NoRoom(TuningError):
    """The person's files would exceed their disk quota."""

    code = "storage_full"
    status = 413
    param = "file"

    def __init__(self, megabytes: int) -> None:
        self.megabytes = megabytes
        super().__init__(_("Your files would take more than %(size)d MB. Delete some first.") % {"size": megabytes})


class BadFileName(TuningError):
    code = "invalid_file_name"
    param = "file"

    def __init__(self) -> None:
        super().__init__(_("The file name must not contain a path to another folder."))


class NothingThere(TuningError):
    code = "empty_file"
    param = "file"

    def __init__(self) -> None:
        super().__init__(_("The file has no lines to train on."))


class NotTrainable(TuningError):
    code = "model_not_trainable"
    param = "model"

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(
            _("%(model)s can't be fine-tuned: its weights are not on this machine.") % {"model": model[:120]}
        )


class OnlyAdapters(TuningError):
    """The model's own weights cannot be trained."""

    code = "scope_not_possible"
    param = "scope"

    def __init__(self, model: str, field: str, value: object) -> None:
        self.model, self.field, self.value = model, field, value
        text = _(
            "Only LoRA adapters of %(model)s can be trained: in its config.json, %(field)s is %(value)s. Choose LoRA "
            "as the trained part (scope: lora)."
        )
        super().__init__(text % {"model": model[:120], "field": field, "value": value})


class WrongForm(TuningError):
    """The method and the file do not fit each other."""

    code = "invalid_training_file"
    param = "training_file"

    def __init__(self, method: str, form: str, param: str = "training_file") -> None:
        self.method, self.form, self.param = method, form, param
        super().__init__(
            _("The method %(method)s can't use a file whose lines are %(form)s.")
            % {"method": method, "form": form or "?"}
        )


class UnfitLines(TuningError):
    """Lines that would teach nothing, or that the model cannot read whole."""

    code = "unfit_lines"
    param = "training_file"

    def __init__(self, problems: Sequence[LineProblem], total: int, param: str = "training_file") -> None:
        self.problems, self.total, self.param = list(problems)[:SHOWN], total, param
        lines = "; ".join(str(problem) for problem in self.problems)
        text = _("%(total)d lines can't be used for training. Prepare the file first. %(lines)s.")
        super().__init__(text % {"total": total, "lines": lines})


class InvalidHyperparameter(TuningError):
    code = "invalid_hyperparameter"

    def __init__(self, name: str, wanted: str) -> None:
        self.param, self.wanted = name, wanted
        super().__init__(_("%(name)s: expected %(wanted)s") % {"name": name, "wanted": wanted})


class NoRewardModel(TuningError):
    code = "no_reward_model"
    param = "method"

    def __init__(self, model: str) -> None:
        self.model = model
        text = _("The site has no reward model for %(model)s: a training cycle creates one for the live model.")
        super().__init__(text % {"model": model[:120]})


class TooExpensive(TuningError):
    """The job would cost more than is left of a budget."""

    code = "insufficient_quota"
    status = 429
    retry_after_s = 3600.0

    def __init__(self, cost: str) -> None:
        self.cost = cost
        super().__init__(
            _("This job costs %(cost)s, which is more than what is left of your budget. Ask an admin to raise it.")
            % {"cost": cost}
        )


class TooManyJobs(TuningError):
    code = "rate_limit_exceeded"
    status = 429
    retry_after_s = 60.0

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(
            _("You have %(limit)d unfinished jobs. Wait for one to finish, or cancel it.") % {"limit": limit}
        )


class DiskFull(TuningError):
    code = "disk_full"
    status = 503
    retry_after_s = 600.0

    def __init__(self, free_mb: int, needed_mb: int) -> None:
        self.free_mb, self.needed_mb = free_mb, needed_mb
        text = _("The disk for models has %(free)d MB free, but %(needed)d MB are needed. Delete some models first.")
        super().__init__(text % {"free": free_mb, "needed": needed_mb})


class WrongState(TuningError):
    """The job's state does not allow what was asked for."""

    code = "invalid_state"

    def __init__(self, job: str, state: str, verb: str) -> None:
        self.job, self.state, self.verb = job, state, verb
        super().__init__(_("Job %(job)s is %(state)s, so this is not possible: %(verb)s.") % self.__dict__)


class StillStopping(TuningError):
    code = "still_stopping"
    status = 409  # today's clients ask again by themselves
    retry_after_s = 5.0

    def __init__(self, job: str) -> None:
        super().__init__(_("Job %(job)s is still saving its checkpoint. Try again in a few seconds.") % {"job": job})
