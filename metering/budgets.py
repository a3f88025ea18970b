"""Budgets: set and removed by admins, what of one is spent or kept for what is under way, and the refusal beyond."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import import_module
from typing import Protocol, cast

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet, Sum
from django.utils import timezone

from accounts import audit
from accounts.models import ApiKey, User
from metering.errors import BudgetSpent
from metering.models import Budget, Usage

Period = Budget.Period


@dataclass(frozen=True)
class Standing:
    """A budget and what is spent of it; nano-dollars."""

    budget: Budget
    spent: int
    held: int
    """Kept for what is under way and will be billed at its end (settings.METERING_HELD)."""

    @property
    def taken(self) -> int:
        return self.spent + self.held

    @property
    def is_spent(self) -> bool:
        return self.taken >= self.budget.limit

    @property
    def percent(self) -> int:
        return 100 if self.is_spent else 100 * self.taken // self.budget.limit


class Holder(Protocol):
    """A module that knows what is under way."""

    def held(self, budget: Budget) -> int: ...


def check(user: int, key: int | None = None) -> None:
    """Raises BudgetSpent where the person, or the key that they ask with, has spent what they may."""
    owned = Q(user=user) | Q(key=key) if key is not None else Q(user=user)
    for found in standings(Budget.objects.filter(owned)):
        if found.is_spent:
            raise BudgetSpent(found.budget.limit, found.spent, found.held, _end_of(Period(found.budget.period)))


def put(owner: User | ApiKey, period: Budget.Period, limit: int, *, actor: User) -> Budget:
    """The owner's budget of that period is so many nano-dollars from now on, whatever it was."""
    owned = {"key": owner, "user": None} if isinstance(owner, ApiKey) else {"user": owner, "key": None}
    with transaction.atomic():
        former = Budget.objects.select_for_update().filter(**owned, period=period).first()
        budget, _ = Budget.objects.update_or_create(**owned, period=period, defaults={"limit": limit})
        told = {"user": budget.user_id, "key": budget.key_id, "period": str(period), "limit": limit}
        audit.record(actor, "budget.set", budget, before={"limit": former.limit} if former else {}, after=told)
    return budget


def remove(budget: Budget, *, actor: User) -> None:
    with transaction.atomic():
        before = {"user": budget.user_id, "key": budget.key_id, "period": budget.period, "limit": budget.limit}
        audit.record(actor, "budget.remove", budget, before=before)
        budget.delete()


def standings(budgets: QuerySet[Budget]) -> list[Standing]:
    return [standing(budget) for budget in budgets]


def standing(budget: Budget) -> Standing:
    return Standing(budget, spent_of(budget), _held_of(budget))


def _held_of(budget: Budget) -> int:
    holders = (cast(Holder, import_module(name)) for name in settings.METERING_HELD)
    return sum(holder.held(budget) for holder in holders)


def of_person(person: User) -> QuerySet[Budget]:
    """Theirs, and those of their keys that still open something."""
    return Budget.objects.filter(Q(user=person) | Q(key__owner=person, key__revoked_at=None)).select_related("key")


def spent_of(budget: Budget) -> int:
    """Nano-dollars of the period under way."""
    rows: QuerySet[Usage] = Usage.objects.filter(Q(key=budget.key_id) if budget.key_id else Q(user=budget.user_id))
    start = _start_of(Period(budget.period))
    if start is not None:
        rows = rows.filter(at__gte=start)
    return rows.aggregate(spent=Sum("cost"))["spent"] or 0


def _start_of(period: Budget.Period) -> datetime | None:
    """Of the day or month under way, in the site's time zone."""
    today = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    if period == Period.TOTAL:
        return None
    return today if period == Period.DAY else today.replace(day=1)


def _end_of(period: Budget.Period) -> datetime | None:
    start = _start_of(period)
    if start is None:
        return None
    if period == Period.DAY:
        return start + timedelta(days=1)
    return (start + timedelta(days=32)).replace(day=1)
