"""A demonstration on judgements that are there: what its training is told, and which policy it starts from."""

import json

import pytest

from chat import policies
from config.demo.arms import RULE_ONLY
from feedback import seed
from rlhf.models import Promotion, Run
from rlhf.runs import cycle
from rlhf.runs.supervisor import Supervisor
from tests.rlhf.command_calls import call

COLLECTED = {"noise_pairs": 0.1, "noise_flags": 0.1, "preference": "finished-and-modest"}
ARGUMENTS = ("demo", "--seed", "7", "--here", "--again")


@pytest.fixture
def collected(judged, home, settings, base_policy, monkeypatch):
    """As a demo leaves its state: judgements, what was said of them, and the candidate live."""
    settings.HOME = home
    monkeypatch.setattr("rlhf.runs.fetching.ensure_base_policy", lambda *_: (base_policy, False))
    (home / "collected.json").write_text(json.dumps(COLLECTED))
    seed.load()
    cycle.drive(cycle.start().pk, Supervisor())
    assert policies.live() != base_policy
    return base_policy


def test_it_learns_again_from_the_base_and_the_same_judgements(collected):
    first = Run.objects.get(kind=Run.Kind.CYCLE)
    code, result = call(*ARGUMENTS)
    again = Run.objects.get(pk=result["run"])
    assert code == 0
    assert again.base_policy == collected
    assert again.snapshot == first.snapshot
    assert result["collected"] == COLLECTED
    assert result["learnt_from"] == "rankings and flags"
    assert Promotion.objects.filter(kind=Promotion.Kind.ROLLBACK, policy=collected).count() == 1


def test_the_rule_alone_is_trained_with_its_own_settings_and_held_to_its_own_floors(collected):
    _, result = call(*ARGUMENTS, "--rule-only")
    stages = {run.stage: run.config["hyperparameters"] for run in Run.objects.filter(parent=result["run"])}
    assert stages["policy"] == RULE_ONLY.hyperparameters["policy"]
    assert stages["reward_model"] == {}
    assert [floor["name"] for floor in result["floors"]] == [floor.name for floor in RULE_ONLY.floors]


def test_without_a_former_demo_there_is_nothing_to_learn_from_again(judged, home, settings, base_policy, monkeypatch):
    settings.HOME = home
    monkeypatch.setattr("rlhf.runs.fetching.ensure_base_policy", lambda *_: (base_policy, False))
    code, _ = call(*ARGUMENTS)
    assert code == 1
    assert not Run.objects.exists()
