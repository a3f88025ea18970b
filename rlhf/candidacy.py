"""Evaluates a single policy for the gate, outside of a cycle: one that a person made, or one evaluated long ago."""

from django.db import transaction
from django.utils.translation import gettext as _

from accounts import audit
from accounts.models import User
from accounts.roles import Role
from base import shared_state
from chat import policies
from chat.models import Policy
from rlhf.errors import AdminRequired, CannotPromote, CannotPutBeforeGate, SnapshotErased
from rlhf.models import Evaluation, Run
from rlhf.release import promotion
from rlhf.runs import cycle, leases
from rlhf.tasks import enqueue


def put_before_gate(policy: Policy, *, actor: User) -> Run:
    """Queues an evaluation of the policy against the live one, or returns the one that is under way.

    Raises AdminRequired, CannotPutBeforeGate, SnapshotErased.
    """
    if not actor.has_role(Role.ADMIN):
        raise AdminRequired(actor.username)
    _check(policy)
    judge = _reward_model_over(policy)
    # other draws than those of any evaluation before: the same ones prove nothing twice
    config = {"seed": Evaluation.objects.count(), "judge": _judge_beside(judge, policy)}
    with transaction.atomic():
        live = promotion.lock_and_get_live()
        if live is None or live.pk == policy.pk:
            raise CannotPutBeforeGate(policy.name, _("it is already live"))
        under_way = Run.objects.filter(kind=Run.Kind.EVALUATION, policy=policy, state__in=Run.LIVE).first()
        if under_way is not None:
            return under_way
        run = Run.objects.create(
            kind=Run.Kind.EVALUATION,
            config=config,
            snapshot=judge.snapshot,
            reward_model=judge,
            policy=policy,
            base_policy=live,
            started_by=actor,
            lease_until=leases.later(leases.NUDGE_AFTER),
        )
        audit.record(actor, "run.start", run, after={"policy": policy.name, "base_policy": live.name})
        enqueue(run.pk)
    return run


def _check(policy: Policy) -> None:
    if policies.live().is_scripted or policy.is_scripted:
        raise CannotPutBeforeGate(policy.name, _("a scripted policy has no weights"))
    try:
        promotion.check_directory(policy)
    except CannotPromote as error:
        raise CannotPutBeforeGate(policy.name, "; ".join(error.reasons)) from error


def _reward_model_over(policy: Policy) -> Run:
    """The reward model that it was tuned against, else the newest one over its base policy."""
    done = Run.objects.filter(kind=Run.Kind.REWARD_MODEL, state=Run.State.SUCCEEDED).exclude(stage=cycle.JUDGE)
    made = Run.objects.filter(kind=Run.Kind.POLICY, policy=policy).exclude(reward_model=None).first()
    own_id = made.reward_model_id if made is not None else None
    runs = done.filter(base_policy=policy.base) if own_id is None else done.filter(pk=own_id)
    found = next((run for run in runs[:20] if shared_state.exists(run.reward_model_path)), None)
    if found is None or found.snapshot is None:
        start = policy.base.name if policy.base else policy.name
        reason = _("there is no reward model for %(start)s; run a training cycle to create one") % {"start": start}
        raise CannotPutBeforeGate(policy.name, reason)
    if found.snapshot.erased_at is not None:
        raise SnapshotErased(found.snapshot.pk)
    return found


def _judge_beside(reward_model: Run, policy: Policy) -> dict[str, object]:
    """As in a cycle: the hidden preference where one alone judged, else the reward model of the held-out split."""
    assert reward_model.snapshot is not None
    judge = cycle.judge_of(reward_model.snapshot)
    if judge["kind"] == "gold":
        return judge
    known = cycle.judges_of(reward_model.snapshot).first()
    if known is None:
        raise CannotPutBeforeGate(policy.name, _("its judge has not been trained yet; run a training cycle first"))
    return cycle.judge_with_run(judge, known)
