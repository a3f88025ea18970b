"""Spending limits: setting and removing them, how much of one is spent or reserved, and the check before spending."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import import_module
from typing import Protocol, cast

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet, Sum

from accounts import audit
from accounts.models import ApiKey, User
from base.dates import next_month, start_of_today
from metering.errors import BudgetSpent
from metering.models import Budget, Usage

Period = Budget.Period


@dataclass(frozen=True)
class Standing:
    """How much of a budget is used; nano-dollars."""

    budget: Budget
    spent: int
    held: int
    """Reserved for work under way that is billed when it ends (settings.METERING_HELD)."""

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
    """A module of settings.METERING_HELD, which reserves budget for work under way."""

    def held(self, budget: Budget) -> int: ...


def check(user: int, key: int | None = None) -> None:
    """Raises BudgetSpent if the person, or the key that they use, has used up a limit."""
    owned = Q(user=user) | Q(key=key) if key is not None else Q(user=user)
    for found in standings(Budget.objects.filter(owned)):
        if found.is_spent:
            raise BudgetSpent(found.budget.limit, found.spent, found.held, _end_of(Period(found.budget.period)))


def put(owner: User | ApiKey, period: Budget.Period, limit: int, *, actor: User) -> Budget:
    """Sets or replaces the owner's limit for that period, in nano-dollars."""
    owned = {"key": owner, "user": None} if isinstance(owner, ApiKey) else {"user": owner, "key": None}
    with transaction.atomic():
        former = Budget.objects.select_for_update().filter(**owned, period=period).first()
        budget, _ = Budget.objects.update_or_create(**owned, period=period, defaults={"limit": limit})
        after = {"user": budget.user_id, "key": budget.key_id, "period": str(period), "limit": limit}
        audit.record(actor, "budget.set", budget, before={"limit": former.limit} if former else {}, after=after)
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
    """The person's own budgets, and those of their keys that are not revoked."""
    return Budget.objects.filter(Q(user=person) | Q(key__owner=person, key__revoked_at=None)).select_related("key")


def spent_of(budget: Budget) -> int:
    """Nano-dollars spent in the current period."""
    rows: QuerySet[Usage] = Usage.objects.filter(Q(key=budget.key_id) if budget.key_id else Q(user=budget.user_id))
    start = _start_of(Period(budget.period))
    if start is not None:
        rows = rows.filter(at__gte=start)
    return rows.aggregate(spent=Sum("cost"))["spent"] or 0


def _start_of(period: Budget.Period) -> datetime | None:
    """When the current day or month began, in the site's time zone; None: the period has no beginning."""
    today = start_of_today()
    if period == Period.TOTAL:
        return None
    return today if period == Period.DAY else today.replace(day=1)


def _end_of(period: Budget.Period) -> datetime | None:
    start = _start_of(period)
    if start is None:
        return None
    if period == Period.DAY:
        return start + timedelta(days=1)
    return next_month(start)
