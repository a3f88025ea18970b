"""Two runs beside each other: what differs and nothing else, figures, curves in one plot, and who may see them."""

import json
import re

import pytest
from django.urls import reverse

from chat.models import Policy
from rlhf.charts import run_comparison
from rlhf.charts.curve_options import CurveOptions
from rlhf.charts.default_settings import default_of
from rlhf.charts.run_comparison import Stages
from rlhf.models import Metric, Run
from rlhf.training.evaluation.stage import EvaluationConfig
from rlhf.training.policy.best_of_n import BestOfNConfig
from rlhf.training.policy.dpo import DpoConfig
from rlhf.training.policy.peers_config import PeerConfig
from rlhf.training.ppo.config import PpoConfig
from rlhf.training.reward.fit import RewardModelConfig
from tests.rlhf import feedback_rows

pytestmark = pytest.mark.django_db


def cycle_of(base, seed, kl_coef, result=None, **fields):
    """A cycle with a policy stage that reported two steps, and an evaluation."""
    run = Run.objects.create(kind="cycle", state="failed", base_policy=base, config={"seed": seed}, **fields)
    given = {"hyperparameters": {"kl_coef": kl_coef, "lr": 0.001}}
    stage = Run.objects.create(kind="policy", stage="policy", parent=run, state="succeeded", config=given)
    for step in (1, 2):
        Metric.objects.create(run=stage, step=step, values={"objective/kl": seed + step, "loss": 0.5})
    Run.objects.create(kind="evaluation", stage="evaluation", parent=run, state="succeeded", result=result or {})
    return run


@pytest.fixture
def two(base_policy):
    won = {"win_rate": 0.7, "win_rate_low": 0.6, "win_rate_high": 0.8, "kl_nats": 4.0}
    return cycle_of(base_policy, 0, 0.05, won), cycle_of(base_policy, 3, 0.1, {"win_rate": 0.5}, algorithm="ppo")


def told(rows):
    return {str(row.label): (row.a, row.b) for row in rows}


def test_only_settings_that_differ_are_listed(two):
    one, other = map(Stages.of, two)
    assert told(run_comparison.differences(one, other)) == {
        "Seed": ("0", "3"),
        "Algorithm": ("default", "PPO"),
        "policy.kl_coef": ("0.05", "0.1"),
    }
    assert run_comparison.differences(one, one) == []


def test_settings_are_those_that_the_training_got(two, home):
    stage = two[0].stages.get(stage="policy")
    stage.path.mkdir(parents=True)
    asked = {"hyperparameters": {"kl_coef": 0.1, "lr": 0.001, "max_tokens": 96}, "base": "/srv/secret"}
    (stage.path / "config.json").write_text(json.dumps(asked))
    found = told(run_comparison.differences(*map(Stages.of, two)))
    assert found["policy.max_tokens"] == ("96", "48 (default)")
    assert "policy.kl_coef" not in found
    assert "secret" not in str(found)


def test_figures_stand_side_by_side_and_what_neither_has_is_left_out(two):
    found = told(run_comparison.figures(*map(Stages.of, two)))
    assert found["Win rate"] == ("70.0 % (60.0 % – 80.0 %)", "50.0 %")
    assert found["KL from the starting point, nats per reply"] == ("4", "–")
    assert "Episodes" not in found


def test_curves_of_both_are_in_one_plot(two):
    (group,) = run_comparison.curves(*map(Stages.of, two), CurveOptions())
    assert group.name == "policy"
    kl = group.first[0]
    assert [(curve.label, [value for _step, value in curve.rows]) for curve in kl.curves] == [
        ("A", [1.0, 2.0]),
        ("B", [4.0, 5.0]),
    ]


def text(response):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def test_the_page_asks_for_two_runs_and_shows_them(client, two):
    client.force_login(feedback_rows.annotator("reader"))
    address = reverse("compare_runs")
    assert "Choose two runs" in text(client.get(address))
    assert "Choose two runs" in text(client.get(address, {"a": two[0].pk}))
    page = client.get(address, {"a": two[0].pk, "b": two[1].pk, "scale": "log"})
    assert "policy.kl_coef 0.05 0.1" in text(page)
    drawn = page.content.decode()
    assert drawn.count("curve no-2") > drawn.count("<figure") > 0
    assert f"?a={two[0].pk}&amp;b={two[1].pk}&amp;smooth=0.9&amp;scale=log" in drawn


@pytest.mark.parametrize("wrong", ["999999", "x", "²", "1" * 30])
def test_a_run_that_is_not_there_is_not_found(client, two, wrong):
    client.force_login(feedback_rows.annotator("reader"))
    assert client.get(reverse("compare_runs"), {"a": two[0].pk, "b": wrong}).status_code == 404


def test_another_person_s_run_is_not_there(client, two, base_policy):
    made = Policy.objects.create(
        name="ft-secret", version=9, base=base_policy, owner=feedback_rows.annotator("maker"), label="my:ft"
    )
    secret = Run.objects.create(kind="fine_tune", state="succeeded", policy=made, base_policy=base_policy)
    client.force_login(feedback_rows.annotator("reader"))
    assert client.get(reverse("compare_runs"), {"a": secret.pk, "b": two[0].pk}).status_code == 404
    assert f'value="{secret.pk}"' not in client.get(reverse("compare_runs")).content.decode()


def test_a_setting_that_one_leaves_open_is_told_with_its_default(two):
    stage = two[0].stages.get(stage="policy")
    stage.config = {"hyperparameters": {"kl_coef": 0.05, "lr": 0.001, "max_tokens": 7, "no_such": 1}}
    stage.save()
    found = told(run_comparison.differences(*map(Stages.of, two)))
    assert found["policy.max_tokens"] == ("7", f"{PpoConfig().max_tokens} (default)")
    assert found["policy.no_such"] == ("1", "default")


@pytest.mark.parametrize(
    ("kind", "algorithm", "config"),
    [
        ("reward_model", "", RewardModelConfig),
        ("policy", "ppo", PpoConfig),
        ("policy", "", PpoConfig),
        ("policy", "rloo", PeerConfig),
        ("policy", "dpo", DpoConfig),
        ("policy", "best_of_n", BestOfNConfig),
        ("evaluation", "", EvaluationConfig),
    ],
)
def test_the_defaults_are_those_of_the_training(kind, algorithm, config):
    run = Run(kind=kind, algorithm=algorithm)
    plain = {name: value for name, value in vars(config()).items() if isinstance(value, int | float | str)}
    assert plain
    assert {name: default_of(run, name) for name in plain} == plain
