"""Canaries: a candidate that the gate passed takes a share of the chats until people there decide on it.

The gate's pass, with the level that the error budget gave it (rlhf.release.error_budget), is what allows a promotion;
a canary can only withhold one. So it spends nothing of that budget: a candidate that is no better becomes live with a
probability of at most the gate's level, and of at most the canary's own (CHAMSAE_CANARY_LEVEL) as far as people's
choices are concerned. A better candidate is withdrawn with a probability of at most twice that level: once for the
choices, once for the flags. That holds at every look, so that one may look as often as one likes.

Where the newest decision on the policy refused it, it neither begins nor is promoted.
"""

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.roles import Role
from chat.errors import PolicyAway
from chat.models import EngineProcess, Policy
from rlhf import served_elsewhere
from rlhf.errors import AdminRequired, CannotBeginCanary, CannotPromote, ServedElsewhere
from rlhf.models import Canary, Decision
from rlhf.release import canary_figures, canary_rows, promotion

State, Why = Canary.State, Canary.Why
FAILURES = 3
"""So many engines of the candidate that failed, and it is withdrawn. Its files being away is no fault of its own."""
TALKER_GONE = "its talker is gone"
log = logging.getLogger(__name__)


class Outcome(NamedTuple):
    state: Canary.State
    why: Canary.Why


def begin(policy: Policy, *, actor: User | None = None, percent: int | None = None, undecided: str = "") -> Canary:
    """Gives the policy `percent` of the chats, else CHAMSAE_CANARY_PERCENT. `undecided`: withdraw or promote where
    the time is up, else CHAMSAE_CANARY_UNDECIDED. Without an actor: by a cycle. CannotBeginCanary, AdminRequired,
    PolicyAway.
    """
    if actor is not None:
        _check_actor(actor)
    percent = settings.CANARY["percent"] if percent is None else percent
    reasons = _reasons_against(policy, percent)
    if reasons:
        raise CannotBeginCanary(policy.name, reasons)
    with transaction.atomic():
        promotion.lock_and_get_live()
        decision = promotion.passed_decision(policy)
        if decision is None:
            raise CannotBeginCanary(policy.name, [_("it did not pass the gate against the live policy")])
        if (other := canary_rows.running()) is not None:
            reason = _("%(policy)s answers a share of the chats already") % {"policy": other.policy.name}
            raise CannotBeginCanary(policy.name, [reason])
        return canary_rows.create(decision, actor, percent, undecided or settings.CANARY["undecided"])


def _reasons_against(policy: Policy, percent: int) -> list[str]:
    if not 1 <= percent <= 100:
        return [_("the share has to be from 1 to 100 percent")]
    if settings.CHAT_ENGINES < 2:
        return [_("there is no place for a second engine: CHAMSAE_ENGINES has to be at least 2")]
    try:
        served_elsewhere.refuse()
        promotion.check_directory(policy)
    except ServedElsewhere as error:
        return [str(error)]
    except CannotPromote as error:
        return error.reasons
    return []


def stop(canary: Canary, *, actor: User) -> bool:
    """Ends it without a decision. False where it has ended."""
    _check_actor(actor)
    with transaction.atomic():
        promotion.lock_and_get_live()
        canary.refresh_from_db()
        if not canary.is_running:
            return False
        canary_rows.end(canary, State.STOPPED, Why.STOPPED, actor=actor)
    return True


def _check_actor(actor: User) -> None:
    if not actor.has_role(Role.ADMIN):
        raise AdminRequired(actor.username)


def check() -> Canary | None:
    """Counts what people chose, and promotes or withdraws the running canary where that decides. None: none runs. A
    promotion waits for the next look while the candidate's files can't be had."""
    canary = canary_rows.running()
    if canary is None:
        return None
    now = timezone.now()
    canary.figures = canary_figures.of(canary, now)
    is_late = now >= canary.until
    with transaction.atomic():
        live = promotion.lock_and_get_live()
        if not Canary.objects.filter(pk=canary.pk, state=State.RUNNING).update(figures=canary.figures):
            canary.refresh_from_db()
            return canary
        outcome = _unfit(canary, live) or _by_figures(canary.figures, canary.limits, is_late=is_late)
        if outcome is not None:
            _conclude(canary, outcome)
    return canary


def _by_figures(figures: Mapping[str, Any], limits: Mapping[str, Any], *, is_late: bool) -> Outcome | None:
    """What people decided; None: nothing yet. Harm goes before a better reply."""
    needed = 1 / limits["level"]
    if figures["flags"]["evidence"] >= needed:
        return Outcome(State.WITHDRAWN, Why.FLAGS)
    if figures["worse"] >= needed:
        return Outcome(State.WITHDRAWN, Why.WORSE)
    if figures["better"] >= needed and figures["people"] >= limits["people"]:
        return Outcome(State.PROMOTED, Why.BETTER)
    if is_late:
        promotes = limits["undecided"] == "promote"
        return Outcome(State.PROMOTED if promotes else State.WITHDRAWN, Why.UNDECIDED)
    return None


def _unfit(canary: Canary, live: Policy | None) -> Outcome | None:
    """What ends it whatever people chose."""
    if live is None or live.pk != canary.baseline.pk:
        return Outcome(State.WITHDRAWN, Why.LIVE_CHANGED)
    if Policy.objects.filter(pk=canary.policy_id, retired_at__isnull=False).exists():
        return Outcome(State.WITHDRAWN, Why.UNFIT)
    if _newest_pass(canary) is None:
        return Outcome(State.WITHDRAWN, Why.REFUSED)
    begun = EngineProcess.objects.filter(policy=canary.policy_id, started_at__gte=canary.started_at)
    failed = begun.exclude(error="").exclude(error=TALKER_GONE).exclude(error__startswith=f"{PolicyAway.code}:")
    if failed.count() >= FAILURES:
        return Outcome(State.WITHDRAWN, Why.ENGINE)
    return None


def _newest_pass(canary: Canary) -> Decision | None:
    """Read anew: the gate may have been asked once more since the canary began."""
    return promotion.passed_decision(Policy.objects.get(pk=canary.policy_id))


def _conclude(canary: Canary, outcome: Outcome) -> None:
    if outcome.state == State.PROMOTED:
        try:
            with transaction.atomic():
                _promote(canary, outcome)
        except CannotPromote:
            outcome = Outcome(State.WITHDRAWN, Why.UNFIT)
        except PolicyAway as error:
            log.warning("canary %s is not decided yet: %s", canary.pk, error)
            canary.refresh_from_db()
            return
    canary_rows.end(canary, outcome.state, outcome.why)
    canary.refresh_from_db()


def _promote(canary: Canary, outcome: Outcome) -> None:
    decision = _newest_pass(canary)
    if decision is None:
        raise CannotPromote(canary.policy.name, [_("the gate refused it meanwhile")])
    canary_rows.end(canary, outcome.state, outcome.why)
    promotion.promote(decision)
