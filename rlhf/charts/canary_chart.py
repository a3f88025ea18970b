"""The course of a canary: the win rate with its limits, after each person whose choices count."""

from django.utils.translation import gettext as _

from rlhf.charts import line_charts
from rlhf.charts.line_charts import LineChart
from rlhf.models import Canary

NAME = "canary/win_rate"


def chart(canary: Canary) -> LineChart | None:
    """None before anybody counts."""
    course = canary.figures.get("course") or []
    labels = (_("win rate"), _("lower limit"), _("upper limit"))
    curves = {
        label: [(int(point[0]), {NAME: float(point[place])}) for point in course]
        for place, label in enumerate(labels, start=1)
    }
    return next(iter(line_charts.overlaid(curves)), None)
