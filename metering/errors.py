"""Errors of metering."""

from dataclasses import dataclass
from datetime import datetime


@dataclass
class BudgetSpent(Exception):
    """A budget is used up, or will be by work under way; nano-dollars."""

    limit: int
    spent: int
    held: int
    """Reserved for work under way."""
    until: datetime | None
    """When the next period begins; None: the budget has no periods."""
