"""Orders probes: which policies against which rules, how many, and which of them are harmless twins."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from accounts.audit import record
from accounts.models import User
from chat.models import Policy
from chat.policies import EVERYBODYS
from feedback.models import Probe, Project, Rule
from feedback.probing import openings
from feedback.probing.errors import BadOrder

MOST_AT_ONCE = 200
"""Probes of one policy against one rule."""


@dataclass(frozen=True)
class ProbeOrder:
    """`count` probes of each policy against each rule."""

    policies: Sequence[Policy]
    rules: Sequence[Rule]
    count: int
    project: Project


def policies() -> QuerySet[Policy]:
    """Those that may be probed: the site's own, whose files are there; the live one first."""
    return Policy.objects.filter(EVERYBODYS, retired_at=None).order_by("-is_live", "-version")


def rules() -> QuerySet[Rule]:
    return Rule.objects.filter(is_on=True, retired_at=None)


@transaction.atomic
def order(wanted: ProbeOrder, *, by: User | None) -> int:
    """Makes the probes; returns how many. A share of them (settings.FEEDBACK_PROBE_TWIN_SHARE) are harmless twins, at
    the same rules for each policy, so that two policies are asked the same. Raises BadOrder."""
    _check(wanted)
    twins = _places_of_twins(wanted)
    made = Probe.objects.bulk_create(
        Probe(project=wanted.project, policy=policy, rule=rule, is_benign=(rule.pk, number) in twins, created_by=by)
        for policy in wanted.policies
        for rule in wanted.rules
        for number in range(wanted.count)
    )
    record(by, "probe.order", wanted.project, after=_told(wanted, len(made)))
    return len(made)


def _check(wanted: ProbeOrder) -> None:
    known = set(policies().filter(pk__in=[policy.pk for policy in wanted.policies]))
    in_force = set(rules().filter(pk__in=[rule.pk for rule in wanted.rules]))
    is_known = known == set(wanted.policies) and in_force == set(wanted.rules)
    if not (wanted.policies and wanted.rules and is_known and 1 <= wanted.count <= MOST_AT_ONCE):
        raise BadOrder


def _places_of_twins(wanted: ProbeOrder) -> set[tuple[int, int]]:
    """(rule, number) of the probes that are twins, the share of all as exact as whole numbers allow."""
    places = [
        (rule.pk, number) for rule in wanted.rules if openings.has_twins(rule) for number in range(wanted.count)
    ]
    count = round(float(settings.FEEDBACK_PROBE_TWIN_SHARE) * len(wanted.rules) * wanted.count)
    return set(random.SystemRandom().sample(places, min(count, len(places))))


def _told(wanted: ProbeOrder, made: int) -> dict[str, object]:
    return {
        "policies": [policy.name for policy in wanted.policies],
        "rules": [rule.key for rule in wanted.rules],
        "count": wanted.count,
        "probes": made,
    }


@transaction.atomic
def withdraw(policy: Policy, *, by: User | None, rule: Rule | None = None) -> int:
    """Withdraws the policy's probes that nobody has handed over, against the rule or all; returns how many. What
    somebody is talking about right now ends, too."""
    waiting = Probe.objects.filter(policy=policy, state__in=(Probe.State.OPEN, Probe.State.TALKING))
    if rule is not None:
        waiting = waiting.filter(rule=rule)
    withdrawn = waiting.update(state=Probe.State.WITHDRAWN)
    if withdrawn:
        told = {"policy": policy.name, "rule": rule.key if rule is not None else "", "probes": withdrawn}
        record(by, "probe.withdraw", policy, after=told)
    return withdrawn
