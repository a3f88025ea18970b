"""Which reward model judges a policy's replies in the chat."""

import pytest

from chat.choosing.source import LimitFigures
from chat.models import Policy
from rlhf.models import Run
from rlhf.serving.source import RewardModels

pytestmark = pytest.mark.django_db


def reward_model(base, **fields):
    run = Run.objects.create(**{"kind": "reward_model", "state": "succeeded", "base_policy": base, **fields})
    folder = run.path / "reward_model"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return run


def test_the_newest_over_the_policy_or_what_it_came_from(base_policy):
    source = RewardModels()
    trained = Policy.objects.create(name="policy-2", version=2, base=base_policy, directory="policy-2")
    assert source.scorer_for(trained) is None
    first = reward_model(base_policy)
    address = source.scorer_for(trained)
    assert (address.label, address.directory) == (f"run-{first.pk}", str(first.path / "reward_model"))
    assert address.policies == (str(base_policy_directory(base_policy)),)  # the other has no files
    newest = reward_model(trained)
    assert source.scorer_for(trained).label == f"run-{newest.pk}"
    assert source.scorer_for(base_policy).label == f"run-{first.pk}"


def base_policy_directory(policy):
    from chat import policies

    return policies.directory(policy)


def test_neither_a_judge_nor_a_failed_run_nor_one_without_files_nor_one_of_another_policy(base_policy):
    other = Policy.objects.create(name="other", version=9, directory="other")
    reward_model(other)
    reward_model(base_policy, stage="judge")
    reward_model(base_policy, state="failed")
    gone = reward_model(base_policy)
    (gone.path / "reward_model" / "config.json").unlink()
    assert RewardModels().scorer_for(base_policy) is None
    assert RewardModels().judged_rules(base_policy) == []


def test_its_rules_with_what_was_measured_of_them(base_policy):
    limits = {"0.50": {"false_alarms": 0.1, "recall": None}}
    result = {
        "judged_rules": ["insults", "lies"],
        "rule_limits": {"insults": {"limits": limits, "following": 10, "violating": 0}},
    }
    reward_model(base_policy, result=result)
    insults, lies = RewardModels().judged_rules(base_policy)
    assert (insults.key, insults.figures, insults.following) == ("insults", {0.5: LimitFigures(0.1, None)}, 10)
    assert (lies.key, lies.figures) == ("lies", {})
