"""Traces a policy back to its base, and a conversation to the snapshots, runs and policies that used it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from accounts.models import User
from chat import policies
from chat.errors import BadPolicy
from chat.models import Conversation, Policy
from feedback.pseudonyms import own_pseudonym
from rlhf.models import Decision, Evaluation, Promotion, Run, Snapshot, Source


@dataclass(frozen=True)
class Step:
    """One policy: its run, snapshot, reward model, evaluation and promotion. Counts and figures only, no judgement
    and no text."""

    policy: Policy
    run: Run | None
    snapshot: Snapshot | None
    reward_model: Mapping[str, Any]
    """The reward model's result; empty where none was trained."""
    evaluation: Evaluation | None
    decision: Decision | None
    promotion: Promotion | None
    """The newest by which it became live."""


def lineage(policy: Policy) -> list[Policy]:
    """From the base policy to this one."""
    chain = [policy]
    while chain[0].base is not None:
        chain.insert(0, chain[0].base)
    return chain


def adapter_root(policy: Policy) -> Policy:
    """The policy that its adapter changes; itself where it has none. Raises BadPolicy where that is gone."""
    found = policies.adapter(policy)
    if found is None:
        return policy
    roots = [one for one in lineage(policy) if Path(one.directory).name == found.base]
    if not roots or not policies.has_files(roots[0]):
        raise BadPolicy(f"{found.base} is gone, whose weights the adapter of {policy.name} changes")
    return roots[0]


def adapter_roots(among: Iterable[Policy]) -> dict[int, Policy]:
    """By id, the policies whose weights are changed by adapters of others."""
    found: dict[int, Policy] = {}
    for policy in among:
        adapter = policies.adapter(policy)
        if adapter is not None:
            found |= {one.pk: one for one in lineage(policy) if Path(one.directory).name == adapter.base}
    return found


def steps(policy: Policy) -> list[Step]:
    """The policy first, then what it was trained from, to the base."""
    return [step(one) for one in reversed(lineage(policy))]


def step(policy: Policy) -> Step:
    run = policy.runs.filter(kind__in=Run.MAKERS).select_related("snapshot", "reward_model").order_by("pk").first()
    evaluation = policy.evaluations.select_related("baseline").order_by("-pk").first()
    learned = run.reward_model if run is not None else None
    return Step(
        policy=policy,
        run=run,
        snapshot=run.snapshot if run is not None else None,
        reward_model=learned.result if learned is not None else {},
        evaluation=evaluation,
        decision=evaluation.newest_decision() if evaluation is not None else None,
        promotion=policy.promotions.select_related("actor").order_by("-pk").first(),
    )


@dataclass(frozen=True)
class Use:
    """A snapshot with judgements on a conversation, and the runs and policies that used it."""

    snapshot: Snapshot
    runs: list[Run]
    """Cycles and runs of their own that read the snapshot."""
    policies: list[Policy]
    """Trained on it, or further from one that was."""
    withdrawn_at: datetime | None = None
    """When consent to the texts in it was withdrawn, after it had been trained on."""


def uses_of(conversation: Conversation) -> list[Use]:
    sources = Source.objects.filter(conversation=conversation).select_related("snapshot").order_by("-snapshot")
    return [_use(source.snapshot, source.withdrawn_at) for source in sources]


def uses_of_texts(owner: User) -> list[Use]:
    """Of the snapshots with texts of any conversation of this person."""
    sources = Source.objects.filter(conversation__owner=owner).select_related("snapshot").order_by("-snapshot")
    found: dict[int, Use] = {}
    for source in sources:
        use = found.setdefault(source.snapshot_id, _use(source.snapshot))
        found[source.snapshot_id] = replace(use, withdrawn_at=source.withdrawn_at or use.withdrawn_at)
    return list(found.values())


def uses_of_judgements(annotator: User) -> list[Use]:
    """Of the snapshots with judgements of this person; those that were frozen before snapshots named people by a
    pseudonym are not found."""
    with_theirs = Snapshot.objects.filter(annotators__has_key=own_pseudonym(annotator.pk))
    return [_use(snapshot) for snapshot in with_theirs]


def _use(snapshot: Snapshot, withdrawn_at: datetime | None = None) -> Use:
    trained = Policy.objects.filter(runs__snapshot=snapshot, runs__kind=Run.Kind.POLICY)
    return Use(
        snapshot=snapshot,
        runs=list(snapshot.runs.filter(parent=None).order_by("pk")),
        policies=_with_descendants(trained),
        withdrawn_at=withdrawn_at,
    )


def _with_descendants(policies: Iterable[Policy]) -> list[Policy]:
    """By version, each once."""
    found: dict[int, Policy] = {}
    waiting = list(policies)
    while waiting:
        policy = waiting.pop()
        if policy.pk not in found:
            found[policy.pk] = policy
            waiting.extend(policy.descendants.all())
    return sorted(found.values(), key=lambda policy: policy.version)
