"""The training cycle: starts it, and drives its stages from a snapshot to the gate's decision."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from accounts import audit
from accounts.models import User
from base.state_errors import StateError
from chat import policies
from chat.errors import PolicyAway
from chat.models import Policy
from feedback.judgements import blind_pairs
from feedback.models import Comparison, Ranking
from rlhf import labels, served_elsewhere
from rlhf.errors import (
    ComparisonsNeeded,
    CycleUnderWay,
    CycleWaits,
    JudgeNotApplicable,
    NotEnoughFeedback,
    StageFailed,
)
from rlhf.models import Evaluation, Run, Snapshot
from rlhf.release import decision
from rlhf.release.people_figures import PEOPLE
from rlhf.runs import comparing, judge_material, leases, requirements, stages, violation_labels
from rlhf.runs.lease_keeper import lease_kept
from rlhf.runs.requirements import Wish
from rlhf.runs.supervisor import Supervisor
from rlhf.snapshots import freezing, withdrawals

ALGORITHMS = tuple(labels.ALGORITHMS)
JUDGE = stages.JUDGE


def start(
    *,
    started_by: User | None = None,
    algorithm: str = "ppo",
    seed: int = 0,
    promotes: bool = True,
    unqualified: bool = False,
    judge: str = "auto",
    comparisons: int = 0,
    **config: Any,
) -> Run:
    """Freezes the feedback and queues a cycle; the caller sends it to a worker or drives it. `unqualified`: though
    too little was judged for a judge that the gate would admit. `judge`: one of labels.JUDGES; `comparisons`: how
    many people are asked for before the gate decides.

    NotEnoughFeedback, JudgeNotQualified, NoLivePolicy, BadPolicy, CycleUnderWay, JudgeNotApplicable,
    ComparisonsNeeded, ServedElsewhere, and what rlhf.runs.requirements raises.
    """
    if judge == PEOPLE and not comparisons:
        raise ComparisonsNeeded
    unqualified = unqualified or judge == PEOPLE
    served_elsewhere.refuse()
    refuse_second_cycle()
    live = policies.live()
    requirements.refuse(Wish(live, algorithm, config.get("hyperparameters") or {}))
    if not unqualified and freezing.rankings_now("train") >= settings.RLHF_MINIMUM_RANKINGS:
        judge_material.refuse_shortage()
        violation_labels.refuse_missing()
    snapshot = freezing.freeze()
    chosen = _judge_named(judge, snapshot)
    if chosen["kind"] != "gold" and not snapshot.held_out:
        raise NotEnoughFeedback(snapshot.rankings, settings.RLHF_MINIMUM_RANKINGS, split="held_out")
    if not unqualified:
        judge_material.refuse_shortage(snapshot.held_out)
    config = {
        **{"algorithm": algorithm, "seed": seed, "promotes": promotes},
        **{"judge": chosen, "judge_asked": judge, "comparisons": comparisons},
        **({"decided_by": PEOPLE} if judge == PEOPLE else {}),
        **config,
    }
    try:
        with transaction.atomic():
            return _create(live, snapshot, started_by, config)
    except IntegrityError:  # another start was faster
        refuse_second_cycle()
        raise


def _create(live: Policy, snapshot: Snapshot, started_by: User | None, config: dict[str, Any]) -> Run:
    run = Run.objects.create(
        kind=Run.Kind.CYCLE,
        algorithm=config["algorithm"],
        config=config,
        snapshot=snapshot,
        base_policy=live,
        started_by=started_by,
        lease_until=leases.later(leases.NUDGE_AFTER),
    )
    after = {"snapshot": snapshot.pk, "base_policy": live.name, "algorithm": config["algorithm"]}
    audit.record(started_by, "run.start", run, after=after)
    return run


def next_seed() -> int:
    """A cycle that nobody gave a seed draws others than those before it: the number of these."""
    return Run.objects.filter(kind=Run.Kind.CYCLE).count()


def live_cycle() -> Run | None:
    return Run.objects.filter(kind=Run.Kind.CYCLE, state__in=Run.LIVE).first()


def refuse_second_cycle() -> None:
    under_way = live_cycle()
    if under_way is None:
        return
    if under_way.is_waiting and under_way.comparison_round is not None:
        state = blind_pairs.state_of(under_way.comparison_round)
        raise CycleWaits(under_way.pk, state.answered, state.wanted)
    raise CycleUnderWay(under_way.pk)


def _judge_named(name: str, snapshot: Snapshot) -> dict[str, Any]:
    """The judge that was asked for. Where people decide, another one still judges what people are not asked: the
    controls and the rules. JudgeNotApplicable."""
    found = judge_of(snapshot)
    if name == "gold" and found["kind"] != "gold":
        raise JudgeNotApplicable(snapshot.rankings, snapshot.rankings - snapshot.simulated)
    return {"kind": "reward_model"} if name == "held_out" else found


def judge_of(snapshot: Snapshot) -> dict[str, Any]:
    """Who judges the candidate: the hidden preference where one alone made every judgement, else a second reward
    model, trained on the held-out judgements only."""
    if snapshot.simulated_only:
        ranked = Ranking.objects.filter(pk__in=snapshot.ranking_ids)
        chose = Comparison.objects.filter(pk__in=snapshot.comparison_ids)
        if (gold := judge_material.gold_of(ranked, chose)) is not None:
            return gold
    return {"kind": "reward_model"}


def drive(run_id: int, supervisor: Supervisor) -> Run:
    """Drives a run, a whole cycle or a single stage, to its end. Does nothing if another supervisor has it."""
    run = Run.objects.get(pk=run_id)
    if not run.is_cycle:
        return supervisor.run_stage(run_id)
    claimed = leases.claim(run_id, supervisor.owner)
    if claimed is None:
        leases.fail_if_exhausted(run_id)
    else:
        _run_stages(claimed, supervisor)
    return Run.objects.get(pk=run_id)


def _without_withdrawn(cycle: Run) -> None:
    """Freezes again where consent was withdrawn between the start and the first stage. NotEnoughFeedback."""
    taken_out = cycle.snapshot is not None and cycle.snapshot.erased_at is not None
    if taken_out and not cycle.stages.exists():
        cycle.snapshot = freezing.freeze()
        cycle.save(update_fields=["snapshot"])


def _run_stages(cycle: Run, supervisor: Supervisor) -> None:
    try:
        _without_withdrawn(cycle)
        result = {stage: _run_stage(cycle, stage, supervisor) for stage in stages_of(cycle)}
        _decide_or_wait(cycle, result, supervisor)
    except StageFailed as error:
        state = Run.State.CANCELLED if error.state == Run.State.CANCELLED else Run.State.FAILED
        leases.end(cycle, supervisor.owner, state, error="" if state == Run.State.CANCELLED else str(error))
        comparing.cancelled(cycle)
    except NotEnoughFeedback as error:
        leases.end(cycle, supervisor.owner, Run.State.FAILED, error=str(error))
    except (PolicyAway, StateError) as error:  # a resume goes on at the gate
        leases.end(cycle, supervisor.owner, Run.State.FAILED, error=str(error))
    except (KeyboardInterrupt, SystemExit):
        leases.end(cycle, supervisor.owner, Run.State.CANCELLED, error="interrupted")
        raise
    cycle.refresh_from_db()
    supervisor.on_progress(cycle)


def _decide_or_wait(cycle: Run, result: Mapping[str, Run], supervisor: Supervisor) -> None:
    """StageFailed where somebody asked to cancel the cycle before it could wait. PolicyAway, StateError."""
    leases.renew(cycle, supervisor.owner)
    evaluated = result[Run.Kind.EVALUATION]
    if comparing.has_to_wait(cycle, evaluated):
        if not leases.wait_for_people(cycle, supervisor.owner):
            raise StageFailed(comparing.STAGE, Run.State.CANCELLED, "")
        return
    evaluation = Evaluation.objects.get(run=evaluated)
    if not evaluation.decisions.exists():
        comparing.close(cycle, evaluation)
    with lease_kept(cycle, supervisor.owner):
        concluded = decision.conclude(cycle, result)
    leases.end(cycle, supervisor.owner, Run.State.SUCCEEDED, result=concluded, error="")


def stages_of(cycle: Run) -> list[str]:
    judge = [] if cycle.config["judge"]["kind"] == "gold" else [JUDGE]
    return [Run.Kind.REWARD_MODEL.value, *judge, Run.Kind.POLICY.value, Run.Kind.EVALUATION.value]


def _run_stage(cycle: Run, stage: str, supervisor: Supervisor) -> Run:
    """The stage's run when it has succeeded, now or before an interruption. StageFailed."""
    run = stage_row(cycle, stage)
    if run.state != Run.State.SUCCEEDED:
        if leases.renew(cycle, supervisor.owner, progress={"stage": stage}):
            raise StageFailed(stage, Run.State.CANCELLED, "")
        run = supervisor.run_stage(run.pk)
    if run.state != Run.State.SUCCEEDED:
        raise StageFailed(stage, run.state, run.error)
    return run


def stage_row(cycle: Run, stage: str) -> Run:
    """The row of a stage, made from the results of the stages before it."""
    known = Run.objects.filter(parent=cycle, stage=stage).first()
    if known is not None:
        return known
    kind = Run.Kind.REWARD_MODEL if stage == JUDGE else Run.Kind(stage)
    done = {run.stage: run for run in cycle.stages.all()}
    config: dict[str, Any] = {
        "seed": cycle.config["seed"] + (1 if stage == JUDGE else 0),
        "hyperparameters": (cycle.config.get("hyperparameters") or {}).get(stage) or {},
    }
    fields: dict[str, Any] = {}
    if stage == JUDGE:
        config["splits"] = ["held_out"]
    if stage == Run.Kind.REWARD_MODEL and cycle.config["judge"]["kind"] == "gold":
        config["judge"] = cycle.config["judge"]
    if stage in (Run.Kind.POLICY, Run.Kind.EVALUATION):
        fields["reward_model"] = done[Run.Kind.REWARD_MODEL]
    if stage == Run.Kind.EVALUATION:
        fields["policy"] = done[Run.Kind.POLICY].policy
        config["judge"] = judge_with_run(cycle.config["judge"], done.get(JUDGE))
        config |= {key: cycle.config[key] for key in ("comparisons", "decided_by") if cycle.config.get(key)}
    return Run.objects.create(
        kind=kind,
        stage=stage,
        parent=cycle,
        algorithm=cycle.algorithm if stage == Run.Kind.POLICY else "",
        config=config,
        snapshot=cycle.snapshot,
        base_policy=cycle.base_policy,
        started_by=cycle.started_by,
        **fields,
    )


def judges_of(snapshot: Snapshot) -> QuerySet[Run]:
    """Runs that trained a judge on it and measured it, which version 0.2 did not."""
    measured = Run.objects.filter(stage=JUDGE, state=Run.State.SUCCEEDED, result__has_key="comparisons")
    return measured.filter(snapshot=snapshot)


def judge_with_run(judge: Mapping[str, Any], run: Run | None) -> dict[str, Any]:
    return dict(judge) if run is None else {**judge, "run": run.pk}


def resume(run: Run, *, actor: User | None) -> Run:
    """Queues a failed or cancelled run again, from its last checkpoint. CycleUnderWay, SnapshotErased,
    SnapshotWithdrawn."""
    target = run.parent or run
    withdrawals.refuse(target.snapshot, target.kind)
    try:
        with transaction.atomic():
            leases.requeue(target)
            audit.record(actor, "run.resume", target, before={"state": target.state})
    except IntegrityError as error:
        under_way = live_cycle()
        raise CycleUnderWay(under_way.pk if under_way else None) from error
    target.refresh_from_db()
    return target


def cancel(run: Run, *, actor: User | None) -> bool:
    target = run.parent or run
    other = stages.handler(target)
    with transaction.atomic():
        asked = leases.cancel(target) if other is None else other.cancel(target)
        if other is None and Run.objects.filter(pk=target.pk, state=Run.State.CANCELLED).exists():
            comparing.cancelled(target)
        if asked:
            audit.record(actor, "run.cancel", target, before={"state": target.state})
    return asked
