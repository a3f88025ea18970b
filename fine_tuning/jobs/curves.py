"""Charts of a job's training and validation curves: loss, accuracy, reward margin, KL."""

from dataclasses import replace

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from fine_tuning.models import FineTune
from rlhf.charts.line_charts import LineChart, chart

TITLES: dict[str, Promise] = {
    "train/loss": _("Training loss"),
    "eval/loss": _("Validation loss"),
    "train/token_accuracy": _("Token accuracy, training"),
    "eval/token_accuracy": _("Token accuracy, validation"),
    "train/reward_accuracy": _("Preference accuracy, training"),
    "eval/reward_accuracy": _("Preference accuracy, validation"),
    "train/reward_margin": _("Margin of the chosen answer, training"),
    "eval/reward_margin": _("Margin of the chosen answer, validation"),
    "objective/scores": _("Score"),
    "objective/kl": _("KL, nats per reply"),
}


def charts(job: FineTune) -> list[LineChart]:
    if job.run is None:
        return []
    series: dict[str, list[tuple[int, float | None]]] = {name: [] for name in TITLES}
    for step, values in job.run.metrics.values_list("step", "values"):
        for name in TITLES:
            value = values.get(name)
            if isinstance(value, int | float):
                series[name].append((step, value))
    drawn = [(name, chart(name, points)) for name, points in series.items() if points]
    return [replace(one, title=TITLES[name]) for name, one in drawn if one is not None]
