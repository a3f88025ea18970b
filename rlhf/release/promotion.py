"""Promotion, forced promotion and rollback: each one transaction with its audit entry."""

import logging
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts import audit
from accounts.models import User
from accounts.roles import Role
from base import shared_state
from chat import policies
from chat.errors import BadPolicy, PolicyAway
from chat.models import Assistant, EngineProcess, Policy, ShareOfChats
from feedback.webhooks import events
from rlhf import lineage, served_elsewhere
from rlhf.errors import AdminRequired, CannotPromote, NothingToRollBackTo, ReasonMissing, ServedElsewhere
from rlhf.models import Decision, Promotion, Run
from rlhf.release import canary_rows, promotion_notices

log = logging.getLogger(__name__)


def promote(decision: Decision, *, actor: User | None = None) -> Promotion:
    """Makes a policy live that passed the gate, if the policy it was compared with is still live. CannotPromote,
    PolicyAway."""
    policy = decision.evaluation.policy
    if not decision.passed:
        raise CannotPromote(policy.name, [reason["text"] for reason in decision.decisive()])
    check_directory(policy)
    with transaction.atomic():
        live = lock_and_get_live()
        if live is None or live.pk != decision.evaluation.baseline_id:
            raise CannotPromote(policy.name, ["the live policy changed since it was evaluated; evaluate again"])
        return _switch(live, policy, Promotion.Kind.GATE, decision=decision, actor=actor)


def passed_decision(policy: Policy) -> Decision | None:
    """The newest decision on it, if it passed and the policy that it was compared with is still live."""
    newest = Decision.objects.filter(evaluation__policy=policy).select_related("evaluation").order_by("-pk").first()
    if newest is None or not newest.passed or policy.is_live or policy.retired_at is not None:
        return None
    return newest if Policy.objects.filter(pk=newest.evaluation.baseline_id, is_live=True).exists() else None


def force(policy: Policy, *, actor: User, reason: str) -> Promotion:
    """Makes a policy live without the gate, in the name of an admin."""
    if not actor.has_role(Role.ADMIN):
        raise AdminRequired(actor.username)
    if not reason.strip():
        raise ReasonMissing
    check_directory(policy)
    with transaction.atomic():
        live = lock_and_get_live()
        if live is not None and live.pk == policy.pk:
            raise CannotPromote(policy.name, ["it is live already"])
        return _switch(live, policy, Promotion.Kind.FORCED, actor=actor, reason=reason)


def rollback(*, actor: User | None, reason: str) -> Promotion:
    """Makes the version live again that was live before the present one. NothingToRollBackTo."""
    if not reason.strip():
        raise ReasonMissing
    seen = Policy.objects.filter(is_live=True).first()
    check_directory(_former(seen))
    with transaction.atomic():
        live = lock_and_get_live()
        target = _former(live)
        if live != seen:
            raise CannotPromote(target.name, ["the live policy changed just now; look again"])
        return _switch(live, target, Promotion.Kind.ROLLBACK, actor=actor, reason=reason)


def make_first_live(policy: Policy, *, actor: User | None = None) -> Promotion | None:
    """Makes a base policy live where none is; None where one is."""
    check_directory(policy)
    with transaction.atomic():
        if lock_and_get_live() is not None or Promotion.objects.exists():
            return None
        return _switch(None, policy, Promotion.Kind.BASE, actor=actor)


def _former(live: Policy | None) -> Policy:
    """What was live before `live` was promoted. Rollbacks do not count: two of them go two versions back."""
    promoted = Promotion.objects.filter(policy=live).exclude(kind=Promotion.Kind.ROLLBACK).order_by("-id").first()
    if promoted is None or promoted.previous is None or promoted.previous.retired_at is not None:
        raise NothingToRollBackTo(live.name if live else "")
    return promoted.previous


def can_roll_back() -> bool:
    try:
        _former(Policy.objects.filter(is_live=True).first())
    except NothingToRollBackTo:
        return False
    return True


def check_directory(policy: Policy) -> None:
    """A policy with a damaged directory or a tensor that is not finite is never made live. CannotPromote; PolicyAway
    where its files can't be had at the moment, which says nothing against it."""
    if policy.retired_at is not None:
        raise CannotPromote(policy.name, ["its weights were removed"])
    if policy.is_scripted:
        return
    try:
        directory = policies.fetched(policy)
        if policies.verify(directory) != policy.manifest_sha256:
            raise CannotPromote(policy.name, ["its manifest is not the one that was registered"])
        if not policies.all_finite(directory):
            raise CannotPromote(policy.name, ["a tensor holds values that are not finite"])
    except PolicyAway:
        raise
    except (BadPolicy, OSError) as error:
        raise CannotPromote(policy.name, [str(error)]) from error


def lock_and_get_live() -> Policy | None:
    """Locks every policy row in one order, so that of two changes one waits for the other to end."""
    locked = list(Policy.objects.select_for_update().order_by("pk"))
    return next((policy for policy in locked if policy.is_live), None)


def _switch(live: Policy | None, policy: Policy, kind: Promotion.Kind, **fields: Any) -> Promotion:
    if live is not None:
        _refuse_where_served_elsewhere(policy)
    Policy.objects.filter(is_live=True).update(is_live=False)
    # A live policy is not on trial: there is nothing to compare it with.
    Policy.objects.filter(pk=policy.pk).update(is_live=True, is_on_trial=False, retired_at=None)
    policy.is_live = True
    made = Promotion.objects.create(policy=policy, previous=live, kind=kind, **fields)
    audit.record(
        fields.get("actor"),
        "policy.rollback" if kind == Promotion.Kind.ROLLBACK else "policy.promote",
        policy,
        reason=fields.get("reason", ""),
        before={"live": live.name if live else None},
        after={"live": policy.name, "kind": str(kind), "promotion": made.pk},
    )
    promotion_notices.send(made)
    events.policy_promoted(policy.name, live.name if live else None, str(kind))
    canary_rows.live_changed(policy)
    retire_old(policy, live)
    return made


def _refuse_where_served_elsewhere(policy: Policy) -> None:
    try:
        served_elsewhere.refuse()
    except ServedElsewhere as error:
        raise CannotPromote(policy.name, [str(error)]) from error


def retire_old(live: Policy, previous: Policy | None) -> None:
    """Removes the weights of the oldest versions but the newest RLHF_KEEP_VERSIONS; never those of a base policy, of
    one whose weights an adapter of another changes, of the live one, of the one before it, of those that are tried,
    of one that a run still reads, of one that an assistant for everybody names, or of one that somebody made from
    data of their own. Their rows stay: replies point there. While the shared state does not tell whose weights are
    changed by adapters, none: the next promotion retires them."""
    live_runs = Q(state__in=Run.LIVE) | Q(parent__state__in=Run.LIVE)
    used = Run.objects.filter(live_runs).values_list("base_policy", "policy")
    named = Assistant.objects.filter(is_shared=True, deleted_at=None).values_list("policy", flat=True)
    shared = ShareOfChats.objects.values_list("policy", flat=True)
    in_use = {live.pk, previous.pk if previous else None, *(pk for pair in used for pk in pair), *named, *shared}
    made = Policy.objects.filter(retired_at=None, is_scripted=False, label="").exclude(base=None).order_by("-version")
    try:
        in_use |= lineage.adapter_roots(Policy.objects.filter(retired_at=None, is_scripted=False)).keys()
    except PolicyAway as error:
        log.warning("no old version is retired for now: %s", error)
        return
    for policy in made[settings.RLHF_KEEP_VERSIONS :]:
        is_served = policy.engines.exclude(state=EngineProcess.State.DEAD).exists()
        if policy.pk in in_use or policy.is_on_trial or is_served:
            continue
        Policy.objects.filter(pk=policy.pk).update(retired_at=timezone.now())
        transaction.on_commit(partial(shared_state.remove, policies.directory(policy)), robust=True)
