"""What metering refuses."""

from dataclasses import dataclass
from datetime import datetime


@dataclass
class BudgetSpent(Exception):
    """A person or their key has spent what they may in a period; nano-dollars."""

    limit: int
    spent: int
    until: datetime | None
    """When the next period begins; None: never by itself."""
