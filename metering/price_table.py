"""Adds, changes and removes prices, each with an audit entry. Usage already recorded keeps its prices."""

from collections.abc import Mapping

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import audit
from accounts.models import User
from metering.models import Price

COLUMNS = ("training", "prompt", "completion")


class PriceExists(Exception):
    """The model has a price already."""


def add(model: str, prices: Mapping[str, int], *, actor: User) -> Price:
    """`prices`: micro-dollars per 1,000 tokens, by column. Raises PriceExists."""
    try:
        with transaction.atomic():
            price = Price.objects.create(model=model, **prices)
            audit.record(actor, "price.add", price, after={"model": model, **prices})
    except IntegrityError as error:
        raise PriceExists from error
    return price


def change(price: Price, prices: Mapping[str, int], *, actor: User) -> None:
    with transaction.atomic():
        stored = Price.objects.select_for_update().get(pk=price.pk)
        before = {column: getattr(stored, column) for column in COLUMNS}
        if before == dict(prices):
            return
        Price.objects.filter(pk=price.pk).update(**prices, updated_at=timezone.now())
        audit.record(actor, "price.change", price, before=before, after=prices)


def remove(price: Price, *, actor: User) -> None:
    """From now on the model has the price of `*`, or costs nothing."""
    with transaction.atomic():
        before = {"model": price.model, **{column: getattr(price, column) for column in COLUMNS}}
        audit.record(actor, "price.remove", price, before=before)
        price.delete()
