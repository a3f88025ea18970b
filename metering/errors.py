"""What metering refuses."""

from dataclasses import dataclass
from datetime import datetime


@dataclass
class BudgetSpent(Exception):
    """A person or their key has spent what they may in a period, or will have; nano-dollars."""

    limit: int
    spent: int
    held: int
    """Kept for what is under way."""
    until: datetime | None
    """When the next period begins; None: never by itself."""
