"""Formats figures for pages and reports: percentages, and three significant digits of anything else."""

from typing import Any

from django.utils.translation import gettext as _

from rlhf.release.report_values import number


def percent(value: Any) -> str:
    known = number(value)
    return "–" if known is None else f"{100 * known:.1f} %"


def figure(value: Any) -> str:
    """A number with three significant digits, text as it is, a dash for nothing."""
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    known = number(value)
    if known is not None:
        return f"{known:.0f}" if known == int(known) and abs(known) < 1e6 else f"{known:.3g}"
    return "–" if value in (None, "") else str(value)
