"""Template filters of the lecture's pages."""

import math

from django import template
from django.utils.html import format_html

register = template.Library()
PLAIN_BELOW = 1e4


@register.filter
def power(value: float) -> str:
    """A large number as 3.1 · 10^23, a small one with three digits."""
    if not value or 0.01 <= value < PLAIN_BELOW:
        return f"{value:.3g}"
    exponent = math.floor(math.log10(value))
    return format_html("{} · 10<sup>{}</sup>", f"{value / 10**exponent:.1f}", exponent)
