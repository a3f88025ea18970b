"""Rules: their current wording, editing, switching on and off, and history."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.utils.translation import gettext_lazy as _

from accounts.audit import record
from accounts.models import User
from feedback.models import Rule, RuleVersion

GROUPS = {
    "harm-to-people": _("Harm to people"),
    "self-anthropomorphism": _("Pretending to be human"),
    "misinformation": _("Misinformation and advice"),
    "quality": _("Quality and other harm"),
    "safety": _("Other safety rules"),
}
URGENT = {"minors": 5, "self-harm": 5, "no-threats": 4, "no-sexual-aggression": 4, "illegal-help": 4, "privacy": 3}
"""Weights of the gravest rules in the moderators' queue; see `severity`."""
HARMFUL_GROUPS = frozenset({"harm-to-people", "safety"})
WORDING = ("name_en", "name_ko", "text_en", "text_ko", "allowed_examples", "violating_examples")


class StaleEdit(Exception):
    """Somebody else changed the rule in the meantime."""

    code = "stale_edit"


class RuleRetired(Exception):
    """A retired rule is brought back before it is switched on or edited."""

    code = "rule_retired"

    def __str__(self) -> str:
        return str(_("This rule is retired. Restore it first."))


def current(*, only_on: bool = True) -> list[RuleVersion]:
    """The wording in force of each rule that is not retired, in the rules' order."""
    versions = _newest().filter(rule__retired_at=None)
    if only_on:
        versions = versions.filter(rule__is_on=True)
    return list(versions)


def newest_of(rule: Rule) -> RuleVersion | None:
    """Its wording in force, whether it is switched on or not."""
    return rule.versions.order_by("-number").first()


def retired() -> list[RuleVersion]:
    """The last wording of each rule that was retired."""
    return list(_newest().filter(rule__retired_at__isnull=False))


def _newest() -> QuerySet[RuleVersion]:
    newest = RuleVersion.objects.filter(rule=OuterRef("rule")).order_by("-number").values("pk")[:1]
    versions = RuleVersion.objects.filter(pk=Subquery(newest)).select_related("rule")
    return versions.order_by("rule__position", "rule_id")


def grouped(versions: Sequence[RuleVersion]) -> list[tuple[str, list[RuleVersion]]]:
    """(name of a group, its rules), in the order of the groups."""
    by_group: dict[str, list[RuleVersion]] = defaultdict(list)
    for version in versions:
        by_group[version.rule.group].append(version)
    known = [group for group in GROUPS if group in by_group]
    return [(_group_name(group), by_group[group]) for group in known + sorted(set(by_group) - set(GROUPS))]


def _group_name(group: str) -> str:
    return str(GROUPS.get(group, group))


def severity(rule: Rule | None) -> int:
    """The weight of a report in the moderators' queue, added to the number of reporters."""
    if rule is None:
        return 1
    return URGENT.get(rule.key, 2 if rule.group in HARMFUL_GROUPS else 1)


def is_severe(rule: Rule) -> bool:
    """Whether one flag is enough for moderators to look."""
    return rule.key in URGENT


@transaction.atomic
def edit(rule: Rule, wording: Mapping[str, Any], *, actor: User, based_on: int, reason: str = "") -> RuleVersion:
    """Adds a version, unless nothing changed; judgements still refer to the version they were made under. Raises
    StaleEdit when version `based_on` is no longer the newest, and RuleRetired."""
    locked = Rule.objects.select_for_update().get(pk=rule.pk)
    if locked.retired_at is not None:
        raise RuleRetired
    newest = locked.versions.order_by("-number").first()
    if newest is None or newest.number != based_on:
        raise StaleEdit
    before = {name: getattr(newest, name) for name in WORDING}
    after = {name: wording[name] for name in WORDING}
    if before == after:
        return newest
    version = RuleVersion.objects.create(rule=locked, number=newest.number + 1, created_by=actor, **after)
    changed = [name for name in WORDING if before[name] != after[name]]
    record(
        actor,
        "rule.edit",
        locked,
        reason=reason,
        before={"version": newest.number, **{name: before[name] for name in changed}},
        after={"version": version.number, **{name: after[name] for name in changed}},
    )
    return version


@transaction.atomic
def switch(rule: Rule, is_on: bool, *, actor: User, reason: str = "") -> None:
    """Switches a rule on or off for judgements to come. Raises RuleRetired."""
    locked = Rule.objects.select_for_update().get(pk=rule.pk)
    if locked.is_on == is_on:
        return
    if locked.retired_at is not None:
        raise RuleRetired
    locked.is_on = is_on
    locked.save(update_fields=["is_on"])
    record(actor, "rule.switch", locked, reason=reason, before={"is_on": not is_on}, after={"is_on": is_on})


def history(rule: Rule) -> list[RuleVersion]:
    """All versions, newest first, each with the number of its judgements."""
    return list(
        rule.versions.select_related("created_by").annotate(judgements=Count("violations")).order_by("-number")
    )
