"""The list of rules: adds one, gives it a place in a group, retires it and brings it back."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.audit import record
from accounts.models import User
from feedback.models import Rule, RuleVersion
from feedback.rules import GROUPS, WORDING

RESERVED = frozenset({"add"})
"""Keys that are addresses of pages."""


class RuleKeyTaken(Exception):
    """Another rule has the key, or it cannot be one; the keys of retired rules stay theirs."""

    code = "key_taken"

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return str(_("The key “%(key)s” is taken. Choose another one.")) % {"key": self.key}


class UnknownGroup(ValueError):
    """There is no such group."""


@transaction.atomic
def add(key: str, group: str, wording: Mapping[str, Any], *, actor: User, reason: str = "") -> Rule:
    """Adds a rule, last of the list and switched on, with its first wording. Raises RuleKeyTaken, UnknownGroup."""
    _check_group(group)
    if key in RESERVED or Rule.objects.filter(key=key).exists():
        raise RuleKeyTaken(key)
    last = Rule.objects.order_by("-position").first()
    rule = Rule.objects.create(key=key, group=group, position=last.position + 1 if last else 1)
    first = {name: wording[name] for name in WORDING}
    RuleVersion.objects.create(rule=rule, number=1, created_by=actor, **first)
    record(actor, "rule.add", rule, reason=reason, after={"key": key, "group": group, **first})
    return rule


@transaction.atomic
def move(rule: Rule, step: int, *, actor: User) -> None:
    """Exchanges it with the rule of its group that is so many places after it (before it: negative). Does nothing at
    the ends of the group."""
    everything = list(Rule.objects.select_for_update().order_by("position", "pk"))
    own = [other for other in everything if other.group == rule.group and other.retired_at is None]
    place = next((at for at, other in enumerate(own) if other.pk == rule.pk), None)
    if place is None or not 0 <= place + step < len(own):
        return
    here, there = everything.index(own[place]), everything.index(own[place + step])
    before = everything[here].position
    everything[here], everything[there] = everything[there], everything[here]
    _renumber(everything)
    record(actor, "rule.place", rule, before={"position": before}, after={"position": there + 1})


@transaction.atomic
def put_into(rule: Rule, group: str, *, actor: User) -> None:
    """Into another group: what moderators and annotators' flags are told by it follows (feedback.rules.severity)."""
    _check_group(group)
    locked = Rule.objects.select_for_update().get(pk=rule.pk)
    if locked.group == group:
        return
    before, locked.group = locked.group, group
    locked.save(update_fields=["group"])
    record(actor, "rule.place", locked, before={"group": before}, after={"group": group})


@transaction.atomic
def retire(rule: Rule, *, actor: User, reason: str = "") -> None:
    """Switches it off for good: it is not offered any more, and leaves the next snapshot with its flags. Its wordings
    and what was judged by them stay. Idempotent."""
    locked = Rule.objects.select_for_update().get(pk=rule.pk)
    if locked.retired_at is not None:
        return
    before = {"is_on": locked.is_on, "retired_at": None}
    locked.is_on, locked.retired_at = False, timezone.now()
    locked.save(update_fields=["is_on", "retired_at"])
    after = {"is_on": False, "retired_at": locked.retired_at.isoformat()}
    record(actor, "rule.retire", locked, reason=reason, before=before, after=after)


@transaction.atomic
def bring_back(rule: Rule, *, actor: User, reason: str = "") -> None:
    """Back into the list, switched off. Idempotent."""
    locked = Rule.objects.select_for_update().get(pk=rule.pk)
    if locked.retired_at is None:
        return
    before, locked.retired_at = {"retired_at": locked.retired_at.isoformat()}, None
    locked.save(update_fields=["retired_at"])
    record(actor, "rule.bring_back", locked, reason=reason, before=before, after={"retired_at": None})


def _check_group(group: str) -> None:
    if group not in GROUPS:
        raise UnknownGroup(group)


def _renumber(ordered: list[Rule]) -> None:
    for position, rule in enumerate(ordered, start=1):
        rule.position = position
    Rule.objects.bulk_update(ordered, ["position"])
