"""Before a job: how long each line of a file is to a model, what training on it would cost and take, way by way."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import get_language

from chat.models import Policy
from fine_tuning.data import formats, tokens
from fine_tuning.data.survey import emptiness, words
from fine_tuning.errors import SHOWN, Problem
from fine_tuning.jobs import parameter_counts, plan
from fine_tuning.jobs.job_directory import measured
from fine_tuning.models import DataFile, FineTune

MOST_BYTES = 4 * 2**20
"""Of a larger file only the first lines are read, and the rest is guessed from them."""
MOST_LINES = 5_000


@dataclass
class Counted:
    rows: int = 0
    tokens: int = 0
    longest: int = 0
    unfit: list[Problem] = field(default_factory=list)
    """The first lines that teach nothing or that the model cannot read whole."""
    unfit_count: int = 0
    is_exact: bool = True


def counted(file: DataFile, policy: Policy) -> Counted:
    """Raises BadPolicy."""
    return _counted(file.id, policy.pk, get_language())


@functools.lru_cache(maxsize=64)
def _counted(file_id: str, policy_id: int, _language: str | None) -> Counted:
    """Neither a file nor a policy ever changes; what is said of lines is in the reader's language."""
    file, policy = DataFile.objects.get(pk=file_id), Policy.objects.get(pk=policy_id)
    found, count, room = Counted(), tokens.counter(policy), tokens.room(policy)
    most = MOST_LINES if file.bytes > MOST_BYTES else file.lines
    for line in formats.lines(file.path, file.filename):
        if line.row is None or found.rows >= most:
            break
        size, problem = measured(count, line.number, line.form, line.row, room)
        found.rows, found.tokens, found.longest = found.rows + 1, found.tokens + size, max(found.longest, size)
        if (code := emptiness(line.form, line.row)) is not None:
            problem = Problem(line.number, code, words(code))
        _note(found, problem)
    if found.rows < file.lines:
        found.tokens = found.tokens * file.lines // max(1, found.rows)
        found.rows, found.is_exact = file.lines, False
    return found


def _note(found: Counted, problem: Problem | None) -> None:
    if problem is not None:
        found.unfit_count += 1
        found.unfit += [problem] if len(found.unfit) < SHOWN else []


@dataclass(frozen=True)
class Way:
    """One of the ways to learn, with its figures."""

    scope: str
    trained: int
    parameters: int
    plan: plan.Plan

    @property
    def share(self) -> float:
        return self.trained / self.parameters if self.parameters else 0.0


@dataclass(frozen=True)
class Estimate:
    counted: Counted
    ways: list[Way]

    @property
    def course(self) -> plan.Course:
        """What is the same in every way: lines, epochs, tokens."""
        return self.ways[0].plan.course

    @property
    def cost(self) -> str:
        """The same in every way, too."""
        return plan.dollars(self.ways[0].plan.cost)


def estimate(
    model: str,
    policy: Policy,
    file: DataFile,
    *,
    method: str,
    has_validation: bool,
    hyperparameters: Mapping[str, Any],
) -> Estimate:
    """Raises BadPolicy."""
    found = counted(file, policy)
    aside = plan.held_out(found.rows, has_validation=has_validation, holds_out=True)
    rows = max(1, found.rows - aside)
    size, sizes = found.tokens * rows // max(1, found.rows), parameter_counts.counts(policy, method)

    def course(scope: str) -> plan.Course:
        return plan.Course(
            method=method,
            scope=scope,
            rows=rows,
            held_out=aside,
            tokens=size,
            n_epochs=plan.epochs_of(hyperparameters, rows, method),
            batch_size=plan.batch_of(hyperparameters, rows, method),
        )

    def way(scope: str) -> Way:
        made = plan.plan(model, policy, course(scope))
        return Way(scope, trained=sizes[scope], parameters=sizes[FineTune.Scope.FULL], plan=made)

    return Estimate(found, [way(scope) for scope in FineTune.Scope if scope in plan.SCOPES[method]])
