"""Template filters of the pages of trust: figures, or a dash where nothing is known."""

from django import template
from django.utils.formats import number_format

from feedback.trust.statistics.agreement import ALPHA_RELIABLE, ALPHA_TENTATIVE

register = template.Library()
UNKNOWN = "–"


@register.filter
def share(value: float | None) -> str:
    """0.853 as 85 %."""
    return UNKNOWN if value is None else f"{number_format(100 * value, 0)} %"


@register.filter
def coefficient(value: float | None) -> str:
    return UNKNOWN if value is None else number_format(value, 2)


@register.filter
def seconds(value: float | None) -> str:
    return UNKNOWN if value is None else number_format(value, 1)


@register.filter
def alpha_badge(value: float | None) -> str:
    """The class of a badge: Krippendorff's limits of what is reliable, and of what allows tentative conclusions."""
    if value is None:
        return ""
    return "ok" if value >= ALPHA_RELIABLE else "warn" if value >= ALPHA_TENTATIVE else "bad"
