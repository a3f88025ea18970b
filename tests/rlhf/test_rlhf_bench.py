"""One seed and taste of `make bench-rlhf`, on a training process that trains nothing."""

import pytest

from config.demo.arms import EVERYTHING
from feedback.models import SimulatedAnnotator
from rlhf.models import Run
from tests.bench import rlhf_cell
from tests.rlhf import feedback_rows

GIVEN = {"seed": 4, "rankings": 4, "preference": "shorter", "set": {"policy.steps": "2"}}


@pytest.fixture
def simulated(base_policy, home, settings, monkeypatch):
    """Plans that were simulated: what they would have stored is there, and no model speaks."""
    settings.HOME = home
    robot = feedback_rows.annotator("robot", is_simulated=True)
    feedback_rows.plenty(robot)
    gold = {"preference": "feedback.preferences:shorter", "flags": {}}
    SimulatedAnnotator.objects.create(user=robot, noise=0.1, held_out_noise=0, tie_margin=0, seed=4, **gold)
    plans = []
    monkeypatch.setattr(
        "feedback.simulated.simulation.simulate", lambda plan, told: plans.append(plan) or {"simulated": True}
    )
    return plans


def test_the_stages_are_those_of_the_demo_without_a_gate(simulated):
    found = rlhf_cell.learn({**GIVEN, "stages": ["reward_model", "policy", "evaluation"]})
    assert found["collected"] == {"simulated": True}
    assert set(found["stage_seconds"]) == {"reward_model", "policy", "evaluation"}
    assert found["comparisons"] > 0
    assert Run.objects.get(stage="evaluation").config["judge"]["preference"] == "feedback.preferences:shorter"
    assert "samples" not in found["evaluation"]
    policy = Run.objects.get(stage="policy")
    assert policy.config["hyperparameters"] == {**EVERYTHING.hyperparameters.get("policy", {}), "steps": 2}
    assert policy.config["seed"] == 4
    assert not policy.policy.is_live


def test_a_killed_one_goes_on_with_its_judgements_and_the_stages_that_are_missing(simulated):
    first = rlhf_cell.learn({**GIVEN, "stages": ["reward_model"]})
    assert "policy" not in first
    Run.objects.filter(kind=Run.Kind.CYCLE).update(state=Run.State.RUNNING, owner="dead")
    again = rlhf_cell.learn({**GIVEN, "stages": ["reward_model", "policy"]})
    assert again["reward_model"] == first["reward_model"]
    assert (len(simulated), Run.objects.filter(stage="reward_model").count()) == (1, 1)
    assert Run.objects.get(stage="policy").state == Run.State.SUCCEEDED


def test_a_stage_that_fails_ends_it(simulated):
    with pytest.raises(SystemExit, match="policy: failed"):
        rlhf_cell.learn({**GIVEN, "set": {"policy.behaviour": '"fail"'}, "stages": ["reward_model", "policy"]})
