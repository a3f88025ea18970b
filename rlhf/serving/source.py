"""Finds the reward model that judges a policy's replies in the chat, and how well it tells each rule."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from base import shared_state
from chat import policies
from chat.choosing.source import JudgedRule, LimitFigures, ScorerAddress, ScorerSource
from chat.errors import BadPolicy, ScorerDown
from chat.models import Policy
from rlhf.lineage import adapter_root, lineage
from rlhf.models import Run
from rlhf.release.report_values import number
from rlhf.runs.stages import JUDGE

MODULE = "rlhf.serving.scorer"


class RewardModels(ScorerSource):
    def scorer_for(self, policy: Policy) -> ScorerAddress | None:
        run = _reward_run_for(policy)
        if run is None:
            return None
        known = tuple(str(folder) for folder in _directories(policy))
        return ScorerAddress(f"run-{run.pk}", MODULE, str(run.reward_model_path), known)

    def bring(self, policy: Policy) -> ScorerAddress | None:
        try:
            run = _reward_run_for(policy)
            if run is None:
                return None
            shared_state.pull(run.reward_model_path)
            if run.base_policy is not None:
                policies.fetched(adapter_root(run.base_policy))
            return self.scorer_for(policy)
        except (BadPolicy, OSError) as error:
            raise ScorerDown(f"the reward model of {policy.name} can't be brought: {error}") from error

    def judged_rules(self, policy: Policy) -> list[JudgedRule]:
        run = _reward_run_for(policy)
        if run is None:
            return []
        found = run.result.get("rule_limits") or {}
        return [_judged(key, found.get(key) or {}) for key in run.result.get("judged_rules") or []]


def _reward_run_for(policy: Policy) -> Run | None:
    """The newest reward model over the policy or one that it came from: what people judged since the policy was made
    is in it, too. The judges of evaluations are kept for those alone."""
    runs = Run.objects.filter(
        kind=Run.Kind.REWARD_MODEL, state=Run.State.SUCCEEDED, base_policy__in=lineage(policy)
    ).exclude(stage=JUDGE)
    return next((run for run in runs.order_by("-pk") if _is_whole(run)), None)


def _is_whole(run: Run) -> bool:
    path = run.reward_model_path
    return (path / "config.json").is_file() or (not path.exists() and shared_state.exists(path))


def _directories(policy: Policy) -> Iterator[Path]:
    """Of the policy and those that it came from, where they are."""
    for one in reversed(lineage(policy)):
        try:
            folder = policies.directory(one)
        except BadPolicy:  # scripted, or served elsewhere
            continue
        if (folder / "manifest.json").is_file():
            yield folder


def _judged(key: str, measured: Mapping[str, Any]) -> JudgedRule:
    figures = {
        float(limit): LimitFigures(number(shares.get("false_alarms")), number(shares.get("recall")))
        for limit, shares in (measured.get("limits") or {}).items()
    }
    counts = [int(number(measured.get(kind)) or 0) for kind in ("following", "violating")]
    return JudgedRule(key, figures, *counts)
