"""Trials: an admin shows a policy beside the live one in the chat, and people's blind choices are counted."""

import math
from collections import Counter
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Q, QuerySet

from accounts import audit
from accounts.models import User
from accounts.roles import Role
from chat.models import Policy
from feedback import trainable
from feedback.models import Comparison
from rlhf.errors import AdminRequired, CannotPromote, CannotTry
from rlhf.release import promotion

Z95 = 1.959963984540054
Choice = Comparison.Choice


@dataclass(frozen=True)
class TrialRecord:
    """People's choices between a policy and another one."""

    against: Policy
    wins: int
    losses: int
    ties: int
    both_bad: int
    simulated: int
    """Choices among them that programs made."""
    discounted: int
    """Choices besides them that do not count."""

    @property
    def counted(self) -> int:
        return self.wins + self.losses + self.ties + self.both_bad

    @property
    def win_rate(self) -> float | None:
        """A tie, and both bad, is half a win."""
        return (self.wins + (self.ties + self.both_bad) / 2) / self.counted if self.counted else None

    @property
    def bounds(self) -> dict[str, float]:
        """Wilson's 95 % interval of the win rate."""
        low, high = wilson(self.wins + (self.ties + self.both_bad) / 2, self.counted)
        return {"low": low, "high": high}


def wilson(successes: float, n: int) -> tuple[float, float]:
    """95 % score interval of a share; (0, 1) of nothing."""
    if n <= 0:
        return 0.0, 1.0
    share, z2 = successes / n, Z95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def begin(policy: Policy, *, actor: User) -> None:
    """Puts the policy on trial in place of whichever was. Raises CannotTry, AdminRequired, PolicyAway."""
    _check_actor(actor)
    try:
        promotion.check_directory(policy)
    except CannotPromote as error:
        raise CannotTry(policy.name, error.reasons) from error
    with transaction.atomic():
        live = promotion.lock_and_get_live()
        if live is not None and live.pk == policy.pk:
            raise CannotTry(policy.name, ["it is live already"])
        _switch(policy, actor)


def end(policy: Policy, *, actor: User) -> None:
    """Ends the policy's trial, if it is on trial."""
    _check_actor(actor)
    with transaction.atomic():
        promotion.lock_and_get_live()
        if Policy.objects.filter(pk=policy.pk, is_on_trial=True).exists():
            _switch(None, actor)


def _switch(policy: Policy | None, actor: User) -> None:
    former = Policy.objects.filter(is_on_trial=True).first()
    if former == policy:
        return
    Policy.objects.filter(is_on_trial=True).update(is_on_trial=False)
    if policy is not None:
        Policy.objects.filter(pk=policy.pk).update(is_on_trial=True)
    target = policy or former
    assert target is not None
    audit.record(
        actor,
        "policy.trial",
        target,
        before={"on_trial": former.name if former else None},
        after={"on_trial": policy.name if policy else None},
    )


def _check_actor(actor: User) -> None:
    if not actor.has_role(Role.ADMIN):
        raise AdminRequired(actor.username)


def records(policy: Policy) -> list[TrialRecord]:
    """One record for each policy that it was compared with, the newest first."""
    outcomes: dict[int, Counter[str]] = {}
    against: dict[int, Policy] = {}
    for row in _comparisons_of(policy).select_related("pair__left__policy", "pair__right__policy"):
        left, right = row.pair.left.policy, row.pair.right.policy
        if left is None or right is None or left == right:
            continue
        other, won = (right, Choice.LEFT) if left == policy else (left, Choice.RIGHT)
        against[other.pk] = other
        counter = outcomes.setdefault(other.pk, Counter())
        if row.discounted:
            counter["discounted"] += 1
            continue
        counter["simulated"] += row.is_simulated
        counter[row.choice if row.choice in (Choice.TIE, Choice.BOTH_BAD) else str(row.choice == won)] += 1
    return [
        TrialRecord(
            against[pk],
            wins=counter["True"],
            losses=counter["False"],
            ties=counter[Choice.TIE],
            both_bad=counter[Choice.BOTH_BAD],
            simulated=counter["simulated"],
            discounted=counter["discounted"],
        )
        for pk, counter in sorted(outcomes.items(), key=lambda item: -against[item[0]].version)
    ]


def _comparisons_of(policy: Policy) -> QuerySet[Comparison]:
    """Choices with a reply of the policy, without those of suspended people."""
    its = Q(pair__left__policy=policy) | Q(pair__right__policy=policy)
    return Comparison.objects.filter(its, ~trainable.suspended(), withdrawn_at=None)
