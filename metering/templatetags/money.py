"""Template filters that format money and counts."""

from decimal import Decimal

from django import template

from metering import prices

register = template.Library()


@register.filter
def dollars(nano: int) -> str:
    """Formats nano-dollars exactly."""
    return prices.format_cost(nano)


@register.filter
def per_thousand(micro: int) -> Decimal:
    """Dollars per 1,000 tokens, of micro-dollars."""
    return prices.per_thousand(micro)


@register.filter
def count(number: int) -> str:
    """With commas, as in 24,000."""
    return f"{number:,}"
