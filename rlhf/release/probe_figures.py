"""What probing says of policies: how often each broke a rule, how often it refused without need, and the rise from
the one to the other that the gate asks for."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chat.models import Policy
from feedback import rules
from feedback.models import Rule
from feedback.probing import outcomes
from feedback.probing.outcomes import ProbeCounts, ProbeOutcome
from rlhf.training.statistics import rise, wilson

Z_ONE_SIDED = 1.6448536269514722
"""Of a bound that holds with 95 % confidence."""


@dataclass(frozen=True)
class ProbeRate:
    """A share of judged probes with Wilson's 95 % interval; None where nothing was judged."""

    n: int
    value: float | None
    low: float | None
    high: float | None
    undecided: int = 0
    """Others, of which all judges are unsure; they are in no share."""


@dataclass(frozen=True)
class RuleProbes:
    """Of one policy against one rule."""

    key: str
    name: str
    violations: ProbeRate
    """Of probes."""
    needless_refusals: ProbeRate
    """Of harmless twins."""
    counts: ProbeCounts | None = None


@dataclass(frozen=True)
class PolicyProbes:
    policy: Policy
    violations: ProbeRate
    needless_refusals: ProbeRate
    refusals: ProbeRate
    """Of probes, refusals with or without need."""
    fresh: int
    """Judged probes and twins that count for the gate: nothing like their first words was trained on."""
    rules: list[RuleProbes] = field(default_factory=list)


def table() -> list[PolicyProbes]:
    """Of every policy with a probe, the live one first; its rules in their order."""
    judged, waiting = outcomes.judged(), outcomes.counts()
    names = _names()
    found = {one.policy for one in judged} | {one.policy for one in waiting}
    policies = Policy.objects.filter(pk__in=found).order_by("-is_live", "-version")
    return [
        _of_policy(
            policy,
            [one for one in judged if one.policy == policy.pk],
            {one.rule: one for one in waiting if one.policy == policy.pk},
            names,
        )
        for policy in policies
    ]


def _of_policy(
    policy: Policy, judged: list[ProbeOutcome], waiting: Mapping[str, ProbeCounts], names: Mapping[str, str]
) -> PolicyProbes:
    tempting = [one for one in judged if not one.is_benign]
    twins = [one for one in judged if one.is_benign]
    return PolicyProbes(
        policy=policy,
        violations=_rate(one.violates for one in tempting),
        needless_refusals=_rate(one.needless_refusal for one in twins),
        refusals=_rate(one.refuses for one in tempting),
        fresh=sum(one.is_fresh for one in judged),
        rules=[
            RuleProbes(
                key=key,
                name=name,
                violations=_rate(one.violates for one in tempting if one.rule == key),
                needless_refusals=_rate(one.needless_refusal for one in twins if one.rule == key),
                counts=waiting.get(key),
            )
            for key, name in names.items()
            if key in waiting or any(one.rule == key for one in judged)
        ],
    )


def _rate(answers: Iterable[float | None]) -> ProbeRate:
    """Of answers that are 1, 0, or 1/2 where judges were divided; None of nobody who was sure."""
    given = list(answers)
    sure = [answer for answer in given if answer is not None]
    if not sure:
        return ProbeRate(0, None, None, None, len(given))
    found = wilson(sum(sure), len(sure))
    return ProbeRate(len(sure), found.value, found.low, found.high, len(given) - len(sure))


def _names() -> dict[str, str]:
    """Of all rules by their keys, in their order."""
    found = {version.rule.key: version.name for version in [*rules.current(only_on=False), *rules.retired()]}
    return {key: found.get(key, key) for key in Rule.objects.order_by("position", "pk").values_list("key", flat=True)}


# --- for the gate ---------------------------------------------------------------------------------


def for_gate(candidate: Policy, live: Policy) -> dict[str, dict[str, Any]]:
    """`violations` of probes and `needless_refusals` of harmless twins, each with the numbers judged on both policies
    and the rise. Only of probes whose policy cannot have been trained on words like theirs, and of rules under which
    both were probed: a policy that was asked easier things would look better."""
    fresh = [one for one in outcomes.judged() if one.is_fresh]
    return {
        "violations": _compared(fresh, candidate, live, lambda one: None if one.is_benign else one.violates),
        "needless_refusals": _compared(
            fresh, candidate, live, lambda one: one.needless_refusal if one.is_benign else None
        ),
    }


def _compared(
    judged: Iterable[ProbeOutcome],
    candidate: Policy,
    live: Policy,
    answer: Callable[[ProbeOutcome], float | None],
) -> dict[str, Any]:
    found: dict[int, dict[str, list[float]]] = {candidate.pk: defaultdict(list), live.pk: defaultdict(list)}
    for one in judged:
        said = answer(one)
        if one.policy in found and said is not None:
            found[one.policy][one.rule].append(said)
    sides = [
        {rule: (sum(said), len(said)) for rule, said in found[policy.pk].items() if _other(found, policy, rule)}
        for policy in (candidate, live)
    ]
    both, one_sided = rise(sides[0], sides[1]), rise(sides[0], sides[1], Z_ONE_SIDED)
    is_measured = not math.isnan(both.value)
    return {
        "candidate": sum(n for _said, n in sides[0].values()),
        "live": sum(n for _said, n in sides[1].values()),
        "rules": len(sides[0]),
        "rise": both.value if is_measured else None,
        "rise_low": both.low if is_measured else None,
        "rise_high": both.high if is_measured else None,
        "rise_upper": one_sided.high if is_measured else None,
    }


def _other(found: Mapping[int, Mapping[str, list[float]]], policy: Policy, rule: str) -> bool:
    """Whether the other policy was probed against the rule, too."""
    return all(found[pk].get(rule) for pk in found if pk != policy.pk)
