"""What a reward model's run found out about it, for its page: figures with their intervals, and alarms in words."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from rlhf.figures import figure, percent
from rlhf.models import Run
from rlhf.release.report_values import number

Result = Mapping[str, Any]


@dataclass(frozen=True)
class RewardFact:
    """One figure; each part as text."""

    name: str
    value: str
    interval: str
    measured_on: str
    alarm: str = ""
    """What is wrong, where the figure is beyond its limit."""


def facts(run: Run) -> list[RewardFact]:
    """Nothing of a run of another kind, nor of one of a version that measured none of it."""
    if run.kind != Run.Kind.REWARD_MODEL or not isinstance(run.result, dict):
        return []
    result: Result = run.result
    return [*_accuracy(result), *_rules(result), *_unseen_rule(result), *_thumbs(result), *_probes(result)]


def alarms(run: Run) -> list[str]:
    return [fact.alarm for fact in facts(run) if fact.alarm]


def _accuracy(result: Result) -> Iterator[RewardFact]:
    pairs = int(number(result.get("pairs")) or 0)
    if pairs:
        on = ngettext("%(n)d held-out pair", "%(n)d held-out pairs", pairs) % {"n": pairs}
        yield RewardFact(_("Accuracy"), percent(result.get("accuracy")), _shares(result, "accuracy_"), on)


def _rules(result: Result) -> Iterator[RewardFact]:
    for rule, found in _mapping(result, "rule_auc").items():
        yield _auc(_("AUC of the rule %(rule)s") % {"rule": rule}, found)


def _unseen_rule(result: Result) -> Iterator[RewardFact]:
    found = _mapping(result, "held_out_rule")
    if found:
        told = {"rule": found.get("rule")}
        yield _auc(_("AUC of %(rule)s, kept from training, by its text alone") % told, found.get("text"))
        yield _auc(_("The same without its text: what all rules share") % told, found.get("no_text"))


def _thumbs(result: Result) -> Iterator[RewardFact]:
    used = number(result.get("trained_thumbs"))
    if used is not None:
        yield RewardFact(_("Thumbs that were trained on"), f"{used:.0f}", "", "")
    if _mapping(result, "thumb_auc"):
        yield _auc(_("AUC on held-out thumbs"), result["thumb_auc"])


def _auc(name: str, found: Any) -> RewardFact:
    found = found if isinstance(found, dict) else {}
    labels = {kind: int(number(found.get(kind)) or 0) for kind in ("positives", "negatives")}
    on = _("%(positives)d labels yes, %(negatives)d no") % labels
    return RewardFact(name, figure(found.get("value")), _interval(found), on)


def _probes(result: Result) -> Iterator[RewardFact]:
    probes = _mapping(result, "probes")
    for name, tell in (("length", _length), ("position", _position), ("repetition", _repetition)):
        found = _mapping(probes, name)
        if found:
            yield tell(found)


def _length(found: Result) -> RewardFact:
    told = {
        "won": percent(found.get("longer_won")),
        "lost": percent(found.get("longer_lost")),
        "limit": percent(found.get("limit")),
    }
    alarm = ""
    if found.get("alarm") and (number(found.get("value")) or 0) > 0:
        alarm = _(
            "It prefers long replies: where the longer one was better it is right in %(won)s of the pairs, where "
            "the longer one was worse in %(lost)s. Add rankings in which the shorter reply wins."
        )
    elif found.get("alarm"):
        alarm = _(
            "It prefers short replies: where the longer one was better it is right in %(won)s of the pairs, where "
            "the longer one was worse in %(lost)s. Add rankings in which the longer reply wins."
        )
    on = _("right in %(won)s where the longer reply won, in %(lost)s where it lost; limit ±%(limit)s") % told
    name = _("Length bias: accuracy where the longer reply won, less where it lost")
    return RewardFact(name, percent(found.get("value")), _shares(found), on, alarm % told if alarm else "")


def _position(found: Result) -> RewardFact:
    value = number(found.get("value"))
    told = {"share": percent(None if value is None else 0.5 + value), "limit": percent(found.get("limit"))}
    alarm = ""
    if found.get("alarm"):
        alarm = _(
            "People's choices follow the place on the page: what stood first won %(share)s of the pairs, where "
            "chance gives 50 %%. Their rankings teach less than they seem to."
        )
    pairs = int(number(found.get("pairs")) or 0)
    on = ngettext("%(n)d pair; limit ±%(limit)s", "%(n)d pairs; limit ±%(limit)s", pairs) % {**told, "n": pairs}
    name = _("Place on the page: share of wins of what stood first, less one half")
    return RewardFact(name, percent(found.get("value")), _shares(found), on, alarm % told if alarm else "")


def _repetition(found: Result) -> RewardFact:
    told = {"times": int(number(found.get("times")) or 0), "value": figure(found.get("value"))}
    alarm = ""
    if found.get("alarm"):
        alarm = _(
            "It pays for repetition: a reply that says its last sentence %(times)d times more scores %(value)s "
            "standard deviations higher. A policy trained on it may learn to repeat itself."
        )
    replies = int(number(found.get("replies")) or 0)
    on = ngettext("%(n)d reply; limit 0", "%(n)d replies; limit 0", replies) % {"n": replies}
    name = _("Repetition: what the score gains when the last sentence is said %(times)d times more") % told
    return RewardFact(name, figure(found.get("value")), _interval(found), on, alarm % told if alarm else "")


def _mapping(result: Result, name: str) -> Result:
    found = result.get(name)
    return found if isinstance(found, dict) else {}


def _interval(found: Result) -> str:
    low, high = number(found.get("low")), number(found.get("high"))
    return "" if low is None or high is None else f"{figure(low)} – {figure(high)}"


def _shares(found: Result, prefix: str = "") -> str:
    low, high = number(found.get(f"{prefix}low")), number(found.get(f"{prefix}high"))
    return "" if low is None or high is None else f"{percent(low)} – {percent(high)}"
