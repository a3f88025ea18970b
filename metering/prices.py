"""Finds the price of a model, and computes and formats costs, in whole numbers throughout."""

from collections.abc import Sequence
from decimal import Decimal

from metering.models import Price

ANY = "*"
NANO = 10**9
MICRO = 10**6


def price_of(names: Sequence[str]) -> Price:
    """The price of the first name that has one, else that of `*`, else an unsaved row of zeros."""
    candidates = [*names, ANY]
    found = {price.model: price for price in Price.objects.filter(model__in=candidates)}
    return next((found[name] for name in candidates if name in found), Price(model=""))


def cost(price: Price, *, prompt_tokens: int = 0, completion_tokens: int = 0, trained_tokens: int = 0) -> int:
    """In nano-dollars: tokens times micro-dollars per 1,000 tokens, exact."""
    return prompt_tokens * price.prompt + completion_tokens * price.completion + trained_tokens * price.training


def dollars(nano: int) -> Decimal:
    return Decimal(nano) / NANO


def per_thousand(micro: int) -> Decimal:
    """Dollars per 1,000 tokens."""
    return Decimal(micro) / MICRO


def format_cost(nano: int) -> str:
    """The exact amount with at least two decimals: $0.72, $0.000072."""
    whole_dollars, rest = divmod(nano, NANO)
    return f"${whole_dollars:,}.{f'{rest:09d}'.rstrip('0').ljust(2, '0')}"
