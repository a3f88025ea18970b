"""Begins and ends a canary in the database: its row, the chat's share, the audit entry and the notice as one."""

import secrets
from datetime import timedelta

from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from accounts import audit, notices
from accounts.models import User
from accounts.roles import Role
from chat.models import Policy, ShareOfChats
from rlhf.models import Canary, Decision


def running() -> Canary | None:
    rows = Canary.objects.filter(state=Canary.State.RUNNING)
    return rows.select_related("policy", "decision__evaluation__baseline").first()


def create(decision: Decision, actor: User | None, percent: int, undecided: str) -> Canary:
    """In a transaction that holds the locks of the policies (promotion.lock_and_get_live)."""
    policy, now = decision.evaluation.policy, timezone.now()
    limits = {name: value for name, value in settings.CANARY.items() if name != "percent"}
    snapshot = decision.evaluation.run.snapshot
    made = Canary.objects.create(
        policy=policy,
        decision=decision,
        percent=percent,
        limits={**limits, "undecided": undecided},
        counts_simulated=snapshot is not None and snapshot.simulated_only,
        started_by=actor,
        started_at=now,
        until=now + timedelta(days=limits["days"]),
    )
    ShareOfChats.objects.create(
        policy=policy, percent=percent, pairs_percent=limits["pairs_percent"], salt=secrets.token_hex(8)
    )
    after = {"canary": made.pk, "percent": percent, "decision": decision.pk}
    audit.record(actor, "canary.begin", policy, after=after)
    return made


def end(canary: Canary, state: Canary.State, why: Canary.Why, *, actor: User | None = None) -> None:
    """Idempotent. In a transaction; admins get a notice of what withdrew itself."""
    rows = Canary.objects.filter(pk=canary.pk, state=Canary.State.RUNNING)
    if not rows.update(state=state, why=why, ended_at=timezone.now()):
        return
    canary.refresh_from_db(fields=["state", "why", "ended_at"])
    ShareOfChats.objects.filter(policy=canary.policy_id).delete()
    audit.record(
        actor,
        "canary.end",
        canary.policy,
        before={"canary": canary.pk, "percent": canary.percent},
        after={"state": str(state), "why": str(why)},
    )
    if state == Canary.State.WITHDRAWN:
        _tell_admins(canary)


def live_changed(live: Policy) -> None:
    """Ends what runs: of the two policies that it compares, the one that answered all other chats does no more."""
    found = running()
    if found is None or live.pk == found.baseline.pk:
        return
    if live.pk == found.policy_id:
        end(found, Canary.State.STOPPED, Canary.Why.BY_HAND)
    else:
        end(found, Canary.State.WITHDRAWN, Canary.Why.LIVE_CHANGED)


def _tell_admins(canary: Canary) -> None:
    told = {"policy": canary.policy.name, "percent": canary.percent}
    admins = notices.people_of(Role.ADMIN).values_list("pk", flat=True)
    notices.send(
        notices.Kind.GATE_REFUSED,
        dict.fromkeys(admins, told),
        about=f"canary:{canary.pk}",
        link=reverse("policy", args=[canary.policy.name]),
    )
