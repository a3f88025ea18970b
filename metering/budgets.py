"""How much of a budget is spent, and the refusal of what would be paid from one that is."""

from datetime import datetime, timedelta

from django.db.models import Q, QuerySet, Sum
from django.utils import timezone

from metering.errors import BudgetSpent
from metering.models import Budget, Usage

Period = Budget.Period


def check(user: int, key: int | None = None) -> None:
    """Raises BudgetSpent where the person, or the key that they ask with, has spent what they may."""
    owned = Q(user=user) | Q(key=key) if key is not None else Q(user=user)
    for budget in Budget.objects.filter(owned):
        spent = spent_of(budget)
        if spent >= budget.limit:
            raise BudgetSpent(budget.limit, spent, end_of(Period(budget.period)))


def spent_of(budget: Budget) -> int:
    """Nano-dollars of the period under way."""
    rows: QuerySet[Usage] = Usage.objects.filter(Q(key=budget.key_id) if budget.key_id else Q(user=budget.user_id))
    start = start_of(Period(budget.period))
    if start is not None:
        rows = rows.filter(at__gte=start)
    return rows.aggregate(spent=Sum("cost"))["spent"] or 0


def start_of(period: Budget.Period) -> datetime | None:
    """Of the day or month under way, in the site's time zone."""
    today = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    if period == Period.TOTAL:
        return None
    return today if period == Period.DAY else today.replace(day=1)


def end_of(period: Budget.Period) -> datetime | None:
    start = start_of(period)
    if start is None:
        return None
    if period == Period.DAY:
        return start + timedelta(days=1)
    return (start + timedelta(days=32)).replace(day=1)
