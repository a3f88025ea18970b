"""Estimates a job before it is created: tokens of the file, and the cost and the time of each training scope."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import get_language

from chat.models import Policy
from fine_tuning.data import formats, tokens
from fine_tuning.data.survey import empty_problem, row_digest
from fine_tuning.jobs import parameter_counts, plan
from fine_tuning.jobs.job_directory import RowCount, measure
from fine_tuning.models import DataFile, FineTune

MOST_BYTES = 4 * 2**20
"""Of a larger file only the first lines are read, and the rest is extrapolated from them."""
MOST_LINES = 5_000


@dataclass
class TokenCount(RowCount):
    distinct: int = 0
    """Lines without their duplicates."""
    longest: int = 0
    is_exact: bool = True


def count_tokens(file: DataFile, policy: Policy) -> TokenCount:
    """Raises BadPolicy."""
    return _count_tokens(file.id, policy.pk, get_language())


@functools.lru_cache(maxsize=64)
def _count_tokens(file_id: str, policy_id: int, _language: str | None) -> TokenCount:
    """Cached, since neither a file nor a policy ever changes; by language, since problems are in the reader's."""
    file, policy = DataFile.objects.get(pk=file_id), Policy.objects.get(pk=policy_id)
    digests = set[bytes]()
    found, count, most_tokens = TokenCount(), tokens.counter(policy), tokens.max_row_tokens(policy)
    most_lines = MOST_LINES if file.bytes > MOST_BYTES else file.lines
    for line in formats.lines(file.fetched(), file.filename):
        if line.row is None or found.rows >= most_lines:
            break
        digests.add(row_digest(line.row))
        size, problem = measure(count, line.number, line.form, line.row, most_tokens)
        found.rows, found.tokens, found.longest = found.rows + 1, found.tokens + size, max(found.longest, size)
        problem = empty_problem(line.number, line.form, line.row) or problem
        if problem is not None:
            found.unfit.add(problem)
    found.distinct = len(digests)
    if found.rows < file.lines:
        found.distinct = found.distinct * file.lines // max(1, found.rows)
        found.tokens = found.tokens * file.lines // max(1, found.rows)
        found.rows, found.is_exact = file.lines, False
    return found


@dataclass(frozen=True)
class ScopeEstimate:
    """What training one scope would take."""

    scope: str
    trained: int
    parameters: int
    plan: plan.JobPlan

    @property
    def share(self) -> float:
        return self.trained / self.parameters if self.parameters else 0.0


@dataclass(frozen=True)
class Estimate:
    counted: TokenCount
    ways: list[ScopeEstimate]

    @property
    def workload(self) -> plan.Workload:
        """Lines, epochs and tokens are the same for every scope."""
        return self.ways[0].plan.workload

    @property
    def cost(self) -> str:
        """The same for every scope, too."""
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
    found = count_tokens(file, policy)
    held_out = plan.held_out_count(found.distinct, has_validation=has_validation, holds_out=True)
    rows = max(1, found.rows - round(held_out * found.rows / max(1, found.distinct)))  # with all their duplicates
    size, sizes = found.tokens * rows // max(1, found.rows), parameter_counts.counts(policy, method)

    def workload_for(scope: str) -> plan.Workload:
        return plan.Workload(
            method=method,
            scope=scope,
            rows=rows,
            held_out=held_out,
            tokens=size,
            n_epochs=plan.epochs_of(hyperparameters, rows, method),
            batch_size=plan.batch_of(hyperparameters, rows, method),
        )

    def estimate_scope(scope: str) -> ScopeEstimate:
        planned = plan.plan(model, policy, workload_for(scope))
        return ScopeEstimate(scope, trained=sizes[scope], parameters=sizes[FineTune.Scope.FULL], plan=planned)

    return Estimate(found, [estimate_scope(scope) for scope in plan.scopes_of(policy, method)])
