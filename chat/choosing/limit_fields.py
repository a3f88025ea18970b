"""Form fields of the rule model's limits: one for each rule that the live policy's reward model can tell."""

from collections.abc import Mapping

from django import forms
from django.utils.translation import gettext as _

from chat import guards
from chat.choosing.source import STEPS, JudgedRule, source
from chat.models import Policy

PREFIX = "limit-"


def limit_fields(stored: Mapping[str, float]) -> dict[str, forms.Field]:
    """By the name of the field. A rule that is guarded and cannot be told any more has one, too, to switch it off."""
    live = Policy.objects.filter(is_live=True).first()
    judged = {rule.key: rule for rule in source().judged_rules(live)} if live else {}
    keys = [*judged, *sorted(stored.keys() - judged)]
    return {PREFIX + key: _field(key, judged.get(key), stored.get(key)) for key in keys}


def key_of_limit(name: str) -> str:
    return name.removeprefix(PREFIX)


def _field(key: str, rule: JudgedRule | None, stored: float | None) -> forms.Field:
    steps = sorted({*(STEPS if rule else ()), *([stored] if stored is not None else [])})
    return forms.TypedChoiceField(
        required=False,
        coerce=float,
        empty_value=None,
        initial=stored,
        choices=[("", _("off")), *((step, _words(step, rule)) for step in steps)],
        label=_("Guard of the rule “%(name)s”") % {"name": guards.name_of(key)},
        help_text=_help(rule),
    )


def _words(step: float, rule: JudgedRule | None) -> str:
    figures = rule.figures.get(step) if rule else None
    if figures is None or figures.false_alarms is None or figures.recall is None:
        return _("above %(limit)s") % {"limit": f"{step:.2f}"}
    told = {
        "limit": f"{step:.2f}",
        "recall": f"{100 * figures.recall:.0f}",
        "false_alarms": f"{100 * figures.false_alarms:.0f}",
    }
    return _("above %(limit)s: finds %(recall)s%% of violations, blocks %(false_alarms)s%% of good replies") % told


def _help(rule: JudgedRule | None) -> str:
    if rule is None:
        return _(
            "The live policy's reward model cannot tell this rule any more: while it is guarded, no reply is shown."
        )
    if not rule.figures or not (rule.following and rule.violating):
        return _(
            "A reply is not shown whose probability of breaking it is higher. No held-out labels say how good it is."
        )
    told = {"following": rule.following, "violating": rule.violating}
    words = _(
        "A reply is not shown whose probability of breaking it is higher. Measured on %(violating)d held-out "
        "labels of violations and %(following)d of others."
    )
    return words % told
