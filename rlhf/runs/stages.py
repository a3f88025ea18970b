"""For each kind of run: the configuration of its training process, and the rows made from its result."""

from collections import Counter
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from django.conf import settings
from django.db.models import Max

from base import shared_state
from chat import policies
from chat.models import Policy
from rlhf.errors import RlhfError
from rlhf.lineage import adapter_root, lineage
from rlhf.models import Evaluation, Run
from rlhf.release import decision
from rlhf.runs import child_process, rollout_servers, tinker_server

DEFAULTS = "defaults"
"""Key of a run's config."""
METRICS = "metrics.jsonl"
"""Rows of the database have them."""
JUDGE = "judge"
"""The stage of a cycle in which the judge is trained; its rows are of the kind of a reward model."""
CHILD_STAGES = {
    Run.Kind.REWARD_MODEL: "reward_model",
    Run.Kind.POLICY: "policy",
    Run.Kind.EVALUATION: "evaluate",
    Run.Kind.FINE_TUNE: "fine_tune",
    Run.Kind.LECTURE: "lecture",
}


class BadResult(RlhfError):
    """A training process ended well, but its result is incomplete or names something that is not there."""

    code = "bad_result"


class Handler(Protocol):
    """Interface of another app's kind of run; settings.RLHF_RUN_KINDS names the module."""

    def child_config(self, run: Run, threads: int) -> dict[str, Any]: ...

    def collect(self, run: Run, result: Mapping[str, Any]) -> dict[str, Any]: ...

    def moved(self, run: Run) -> None:
        """Called when the run has started, progressed or ended; may be called repeatedly."""

    def cancel(self, run: Run) -> bool: ...


def handler(run: Run) -> Handler | None:
    """None for the kinds that this app knows by itself."""
    path = settings.RLHF_RUN_KINDS.get(run.kind)
    return cast(Handler, import_module(path)) if path else None


def moved(run: Run) -> None:
    if (other := handler(run)) is not None:
        other.moved(run)


def child_stage(run: Run) -> str:
    """The name of its training process."""
    return JUDGE if run.stage == JUDGE else CHILD_STAGES[Run.Kind(run.kind)]


def child_config(run: Run, threads: int) -> dict[str, Any]:
    if (other := handler(run)) is not None:
        return other.child_config(run, threads)
    made = {"threads": threads, "seed": run.config.get("seed", 0), "snapshot": str(_snapshot_of(run))}
    defaults = _defaults(run)
    made["profile"] = defaults["profile"]
    made["hyperparameters"] = {**defaults["hyperparameters"], **hyperparameters_of(run)}
    by_kind = {
        Run.Kind.REWARD_MODEL: _reward_model_config,
        Run.Kind.POLICY: _policy_config,
        Run.Kind.EVALUATION: _evaluation_config,
    }
    return {**made, **by_kind[Run.Kind(run.kind)](run)}


def hyperparameters_of(run: Run) -> dict[str, Any]:
    """Those of the run. What judges replies reads prompts as they were served, up to the policy's whole context."""
    given = run.config.get("hyperparameters") or {}
    if run.kind == Run.Kind.POLICY:
        return dict(given)
    return {"max_prompt_tokens": policies.context_tokens(_directory(run.base_policy)), **given}


def _defaults(run: Run) -> dict[str, Any]:
    """What the site had set when the run first started: a checkpoint is continued with nothing else."""
    if DEFAULTS not in run.config:
        run.config[DEFAULTS] = {"profile": settings.RLHF_PROFILE.name, "hyperparameters": _of_the_site(run)}
        run.save(update_fields=["config"])
    kept: dict[str, Any] = run.config[DEFAULTS]
    return kept


def _of_the_site(run: Run) -> dict[str, Any]:
    """A policy is trained and compared on completions as long as those that are ranked, and whole like them; PPO in
    batches that suit the machine."""
    if run.kind not in (Run.Kind.POLICY, Run.Kind.EVALUATION):
        return {}
    made = {"max_tokens": settings.FEEDBACK_COMPLETION_TOKENS}
    is_ppo = run.kind == Run.Kind.POLICY and run.algorithm == "ppo"
    return {**settings.RLHF_PROFILE.ppo, **made, "fragments": settings.FEEDBACK_FRAGMENTS} if is_ppo else made


def _reward_model_config(run: Run) -> dict[str, Any]:
    gold = {"judge": run.config["judge"]} if run.config.get("judge") else {}
    return {
        **_base_and_start(run.base_policy),
        "output": str(run.reward_model_path),
        "splits": run.config.get("splits") or ["train"],
        **gold,  # where the preference is known, accuracy is also measured against it
    }


def _policy_config(run: Run) -> dict[str, Any]:
    base = _base_and_start(run.base_policy)
    return {
        "algorithm": run.algorithm,
        **base,
        "reward_model": str(_reward_model_directory(run.reward_model)),
        "output": str(_policy_directory(run)),
        **_watching_judge(run),
        **rollout_servers.config(run, Path(base["base"]).name),
        **tinker_server.config(run),
    }


def _base_and_start(policy: Policy | None) -> dict[str, str]:
    """Weights without an adapter, over which reward models and adapters are trained in every cycle, and the policy
    whose adapter training goes on from; a policy without an adapter is its own base."""
    if policy is None:
        raise BadResult("the run names no policy")
    root = adapter_root(policy)
    start = {} if root == policy else {"start": str(_directory(policy))}
    return {"base": str(_directory(root)), **start}


def _watching_judge(run: Run) -> dict[str, str]:
    """A cycle's judge, which learnt from other judgements than the reward model, tells when PPO games it."""
    judge = run.parent.stages.filter(stage=JUDGE, state=Run.State.SUCCEEDED).first() if run.parent else None
    return {} if judge is None or run.algorithm != "ppo" else {"watch": str(_reward_model_directory(judge))}


def _evaluation_config(run: Run) -> dict[str, Any]:
    """The run's `base_policy` is what it is compared with; KL counts from the policy that training started from, and
    from the anchor, with which the first cycle began."""
    start = run.policy.base if run.policy is not None and run.policy.base is not None else run.base_policy
    if start is None:
        raise BadResult("the run names no policy")
    return {
        "policy": str(_directory(run.policy)),
        "baseline": str(_directory(run.base_policy)),
        "base": str(_directory(start)),
        "anchor": str(_directory(lineage(start)[0])),
        "root": str(_directory(adapter_root(start))),
        "reward_model": str(_reward_model_directory(run.reward_model)),
        "judge": _judge_config(run.config["judge"]),
        "prompts_used": _prompts_used(run),
        "people_compare": bool(run.config.get("comparisons")),
    }


def _prompts_used(run: Run) -> dict[str, int]:
    """In how many other evaluations each held-out prompt served, by its short digest."""
    reports = Evaluation.objects.exclude(run=run).values_list("report__prompts_asked", flat=True)
    return dict(Counter(digest for asked in reports for digest in asked or []))


def _judge_config(judge: Mapping[str, Any]) -> dict[str, Any]:
    """A reward model is stored by its run's id, so that it is found after the home directory was moved."""
    if judge["kind"] == "gold":
        return dict(judge)
    run = Run.objects.get(pk=judge["run"])
    return {"kind": "reward_model", "directory": str(_reward_model_directory(run))}


def _snapshot_of(run: Run) -> Path:
    if run.snapshot is None:
        raise BadResult(f"run {run.pk} has no snapshot")
    return shared_state.pull(run.snapshot.path)


def _directory(policy: Policy | None) -> Path:
    if policy is None:
        raise BadResult("the run names no policy")
    return policies.fetched(policy)


def _reward_model_directory(run: Run | None) -> Path:
    if run is None:
        raise BadResult("the run names no reward model")
    return shared_state.pull(run.reward_model_path)


def _policy_directory(run: Run) -> Path:
    return Path(settings.MODELS_DIR) / f"run-{run.pk}"


def collect(run: Run, result: Mapping[str, Any]) -> dict[str, Any]:
    """Makes rows from a stage's result; returns the fields of the run to set. Idempotent."""
    if (other := handler(run)) is not None:
        return other.collect(run, result)
    if run.kind == Run.Kind.POLICY:
        return {"policy": _registered(run)}
    if run.kind == Run.Kind.EVALUATION:
        evaluation = _store_report(run, result)
        if run.parent_id is None:  # within a cycle the cycle asks the gate
            decision.decide_once(evaluation)
    return {}


def publish(run: Run) -> None:
    """What others read of a stage that ended well: reward models, rows of evaluations, logs. Raises OSError."""
    if not shared_state.is_on():
        return
    if run.kind == Run.Kind.REWARD_MODEL:
        shared_state.publish(run.reward_model_path)
    if run.kind == Run.Kind.EVALUATION:
        for rows in sorted(run.path.glob("*.jsonl")):
            if rows.name != METRICS:
                shared_state.hand_over(rows)
    publish_log(run)


def publish_log(run: Run) -> None:
    log = run.path / child_process.LOG
    if shared_state.is_on() and log.is_file():
        shared_state.publish(log)


def _registered(run: Run) -> Policy:
    source = f"run:{run.pk}"
    known = Policy.objects.filter(source=source).first()
    if known is not None:
        return known
    version = (Policy.objects.aggregate(newest=Max("version"))["newest"] or 0) + 1
    return policies.register(
        _policy_directory(run),
        name=f"policy-{version}",
        source=source,
        base=run.base_policy,
        made_from_simulated=run.is_simulated or bool(run.base_policy and run.base_policy.made_from_simulated),
    )


def _store_report(run: Run, report: Mapping[str, Any]) -> Evaluation:
    if run.policy is None or run.base_policy is None:
        raise BadResult("an evaluation needs a policy and a baseline")
    fields = {
        "policy": run.policy,
        "baseline": run.base_policy,
        "judge": _judge_name(run.config["judge"]),
        "report": dict(report),
    }
    return Evaluation.objects.update_or_create(run=run, defaults=fields)[0]


def _judge_name(judge: Mapping[str, Any]) -> str:
    return f"gold:{judge['preference']}" if judge["kind"] == "gold" else "held-out reward model"
