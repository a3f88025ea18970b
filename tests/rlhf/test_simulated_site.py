"""The rounds of a simulated site, on a training process that trains nothing: what is done is not done again."""

import json

import pytest
from django.conf import settings
from django.core.management.base import CommandError

from chat import policies
from config.management.commands import simulate_site
from config.simulated_site import gold, report, rounds
from config.simulated_site.demands import demands
from config.simulated_site.people import Population
from config.simulated_site.rounds import OtherSimulation, Rules, SimulatedSite
from feedback.models import SimulatedAnnotator
from rlhf.models import Run
from rlhf.runs import cycle
from tests.rlhf import feedback_rows
from tests.rlhf.command_calls import call

POPULATION = Population(people=3, preferences=("shorter", "longer"), noise=0.1, colluding=0.34, seed=2)
RULES = Rules(rankings=2, held_out_share=0.25, gold_prompts=4, max_tokens=8)


@pytest.fixture
def plans(monkeypatch):
    """Plans that were simulated, instead of replies of a model."""
    made = []
    monkeypatch.setattr(rounds, "simulate", lambda plan, on_progress: made.append(plan))
    monkeypatch.setattr(gold.GoldPrompts, "replies_of", lambda asked, policy: [policy.name] * len(asked.prompts))
    return made


def site_of(home, rules=RULES):
    return SimulatedSite(home, POPULATION, rules)


def test_everybody_judges_once_a_round_with_seeds_of_its_own(tmp_path, plans):
    site = site_of(tmp_path)
    site.judge(1, lambda *_: None)
    site_of(tmp_path).judge(1, lambda *_: None)  # as after a kill
    site.judge(2, lambda *_: None)
    assert [plan.person for plan in plans] == [1, 2, 3, 1, 2, 3]
    assert len({plan.seed for plan in plans}) == 6


def test_a_simulation_is_not_continued_with_other_people(tmp_path, plans):
    site_of(tmp_path).judge(1, lambda *_: None)
    with pytest.raises(OtherSimulation):
        SimulatedSite(tmp_path, Population(4, ("shorter",), 0.1, 0.0, 2), RULES)


def test_a_cycle_stands_beside_the_last_and_the_base(tmp_path, plans, judged, settings):
    from feedback import seed

    seed.load()
    first = site_of(tmp_path).learn(1)
    second = site_of(tmp_path, Rules(2, 0.25, 4, 8, ("--algorithm", "dpo"))).learn(2)
    assert first["promoted"]
    assert first["live_after"] == second["live_before"] == first["policy"] != second["policy"]
    assert (second["algorithm"], Run.objects.get(pk=second["run"]).config["seed"]) == ("dpo", 202_000)
    assert second["gold"]["base"]["reward"] == 0.0
    assert second["gold"]["live_before"] == first["gold"]["candidate"]
    kept = json.loads((tmp_path / rounds.FILE).read_text())
    assert [cycle["cycle"] for cycle in kept["cycles"]] == [1, 2]
    assert set(kept["replies"]) == {"base", first["policy"], second["policy"]}  # each sampled once
    asked = [demand.as_json() for demand in demands(kept["cycles"], settings.GATE)]
    told = {"population": kept["population"], "colluding": 1, "cycles": kept["cycles"], "demands": asked}
    shown = report.render({**told, "home": str(tmp_path)})
    assert report.TITLE in shown
    assert "promoted" in shown
    assert "  met: gold reward rises or holds in each cycle: cycle 1 " in shown


def test_a_refusal_is_told_with_its_reasons(tmp_path, plans, judged):
    from feedback import seed

    seed.load()
    spoilt = Rules(2, 0.25, 4, 8, ("--set", 'evaluation.report={"kl_nats": 41.5}'))
    found = site_of(tmp_path, spoilt).learn(1)
    assert not found["passed"]
    assert found["live_after"] == found["live_before"] == policies.live().name
    assert any(reason.startswith("kl: 41.5 ") for reason in found["why"])


def test_too_little_feedback_is_a_cycle_that_did_not_start(tmp_path, plans, base_policy, settings):
    from feedback import seed

    seed.load()
    settings.RLHF_MINIMUM_RANKINGS = 5
    found = site_of(tmp_path).learn(1)
    assert (found["run"], found["gold"]["candidate"], found["promoted"]) == (None, None, False)
    assert len(found["why"]) == 1


def test_a_cycle_that_ended_before_a_kill_is_not_run_again(tmp_path, plans, judged, monkeypatch):
    from feedback import seed

    seed.load()
    site = site_of(tmp_path)
    monkeypatch.setattr(site, "_gold", lambda policy: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        site.learn(1)
    found = site_of(tmp_path).learn(1)
    assert (Run.objects.filter(kind="cycle").count(), found["promoted"]) == (1, True)
    assert (found["live_before"], found["live_after"]) == ("base", found["policy"])


def test_a_cycle_that_still_runs_is_no_cycle_that_did_not_start(tmp_path, plans, judged):
    cycle.start(seed=5)
    with pytest.raises(CommandError):
        site_of(tmp_path).learn(1)
    assert site_of(tmp_path).cycles == []


def test_a_cycle_that_fails_ends_the_simulation(tmp_path, plans, judged):
    failing = Rules(2, 0.25, 4, 8, ("--set", "policy.behaviour=fail"))
    with pytest.raises(CommandError):
        site_of(tmp_path, failing).learn(1)
    assert site_of(tmp_path).cycles == []


def test_the_command_refuses_a_home_in_which_people_have_judged(judged, home, settings):
    settings.HOME = home
    code, said = call("simulate_site", "--here", "--cycles", "1")
    assert (code, said["error"]["code"]) == (1, "people_live_here")


@pytest.mark.parametrize("wrong", [["--noise", "0.6"], ["--preference", "nothing"], ["--colluding", "1.0"]])
def test_options_that_cannot_be_are_refused_before_anything_starts(base_policy, home, settings, monkeypatch, wrong):
    settings.HOME = home
    monkeypatch.setattr("rlhf.runs.fetching.ensure_base_policy", lambda *_: (base_policy, False))
    code, _ = call("simulate_site", "--here", *wrong)
    assert code == 2
    assert not Run.objects.exists()


@pytest.fixture
def parsed():
    """Options of the command line, as the rules of a round."""
    from django.core.management import get_commands, load_command_class

    command = load_command_class(get_commands()["simulate_site"], "simulate_site")
    parser = command.create_parser("manage.py", "simulate_site")
    return lambda *words: simulate_site._rules(vars(parser.parse_args(list(words))))


def test_the_command_runs_cycles_and_passes_its_options_on(base_policy, home, settings, monkeypatch, plans):
    settings.HOME = home
    monkeypatch.setattr("rlhf.runs.fetching.ensure_base_policy", lambda *_: (base_policy, False))
    feedback_rows.plenty(feedback_rows.annotator("robot", is_simulated=True))
    options = ["--algorithm", "sft", "--tokens", "8", "--set", "policy.steps=2", "--gold-prompts", "3"]
    options += ["--evaluation-prompts", "9"]
    code, result = call("simulate_site", "--here", "--cycles", "2", "--people", "2", *options)
    assert code == 0
    assert (result["simulated"], len(result["cycles"]), len(plans)) == (True, 2, 4)
    run = Run.objects.get(pk=result["cycles"][0]["run"])
    assert run.algorithm == "sft"
    assert run.config["hyperparameters"]["policy"] == {"max_tokens": 8, "steps": 2}
    assert run.config["hyperparameters"]["evaluation"] == {"max_tokens": 8, "prompts": 9}
    assert [demand["is_met"] is None for demand in result["demands"]] == [not result["cycles"][0]["promoted"]] * 3
    assert SimulatedAnnotator.objects.count() == 0


def test_ppo_gets_its_iterations_and_a_setting_of_ones_own_comes_last(parsed):
    given = parsed("--iterations", "7", "--set", "policy.iterations=3")
    words = given.cycle_arguments
    assert words.index("policy.iterations=7") < words.index("policy.iterations=3")
    assert not any("iterations" in word for word in parsed("--algorithm", "dpo").cycle_arguments)
    assert (given.max_tokens, given.rankings) == (settings.FEEDBACK_COMPLETION_TOKENS, 25)
