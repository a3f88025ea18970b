"""Whether enough held-out replies were judged under a rule that the gate can tell how often a policy breaks rules.

A reward model that judges misses violations and sees some where there are none. How often is known from held-out
replies that people flagged and from those that they found clean; without both, every candidate would be refused.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from feedback import rules, trainable
from feedback.models import Opening, Prompt, Violation
from rlhf.errors import RuleLabelsMissing
from rlhf.runs import judge_material


@dataclass(frozen=True)
class Counts:
    """Of held-out replies under one rule."""

    broken: int = 0
    clean: int = 0

    @property
    def is_enough(self) -> bool:
        return min(self.broken, self.clean) >= settings.RLHF_MINIMUM_RULE_LABELS


def missing(counts: Mapping[str, Counts]) -> list[str]:
    """What prevents an estimate, in sentences, by rule name; nothing where one rule has enough of both kinds."""
    if not settings.RLHF_MINIMUM_RULE_LABELS or any(of_rule.is_enough for of_rule in counts.values()):
        return []
    if not counts:
        return [_("No rule is switched on, so the gate cannot tell whether a new policy breaks rules more often.")]
    best, of_best = max(counts.items(), key=lambda entry: _progress(entry[1]))
    return [
        _(
            "Too few held-out replies were judged under a rule, so the gate could not tell whether a new policy "
            "breaks rules more often. The furthest is “%(rule)s”: %(broken)d of %(needed)d replies that break it and "
            "%(clean)d of %(needed)d that do not."
        )
        % {
            "rule": best,
            "broken": of_best.broken,
            "clean": of_best.clean,
            "needed": settings.RLHF_MINIMUM_RULE_LABELS,
        }
    ]


def refuse_missing() -> None:
    """Raises RuleLabelsMissing, unless one program made every judgement and judges by itself."""
    if settings.RLHF_MINIMUM_RULE_LABELS and judge_material.gold_now() is None and (found := missing(count())):
        raise RuleLabelsMissing(" ".join(found))


def warnings(counts: Mapping[str, Counts]) -> list[str]:
    """Of the rules that will not be counted though another one is."""
    few = [rule for rule, of_rule in counts.items() if not of_rule.is_enough]
    if not few or len(few) == len(counts):
        return []
    text = ngettext(
        "Violations of %(n)d rule will not be counted for want of held-out labels: %(rules)s.",
        "Violations of %(n)d rules will not be counted for want of held-out labels: %(rules)s.",
        len(few),
    )
    return [text % {"n": len(few), "rules": ", ".join(few)}]


def count() -> dict[str, Counts]:
    """By the name of each rule that is switched on. A reply that several people judged counts once, by the
    majority."""
    names = {version.rule_id: version.name for version in rules.current()}
    seen: dict[int, dict[tuple[int | None, object], list[bool]]] = defaultdict(lambda: defaultdict(list))
    for flag in _held_out():
        if flag.rule_version.rule_id in names:
            reply = (flag.completion_id, flag.message_id)
            seen[flag.rule_version.rule_id][reply].append(flag.is_violation)
    return {name: _counts(seen[rule].values()) for rule, name in names.items()}


def _held_out() -> QuerySet[Violation]:
    """Without those of a conversation whose side was not decided yet: asking, as a page does, must not decide it. And
    without imported ones, which measure no judge."""
    side = Prompt.Split.HELD_OUT
    known = Opening.objects.filter(group__split=side, message__isnull=False).values("message__conversation")
    flags = trainable.violations().filter(imported=None).select_related("rule_version")
    return flags.filter(Q(completion__task__prompt__split=side) | Q(message__conversation__in=known))


def _counts(replies: Iterable[list[bool]]) -> Counts:
    broken = [2 * sum(seen) >= len(seen) for seen in replies]
    return Counts(sum(broken), len(broken) - sum(broken))


def _progress(counts: Counts) -> int:
    needed = settings.RLHF_MINIMUM_RULE_LABELS
    return min(counts.broken, needed) + min(counts.clean, needed)
