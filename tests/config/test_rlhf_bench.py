"""The report of `make bench-rlhf` over canned results, and that a finished seed and taste is not run again."""

import copy
import json

import pytest

from config.demo.arms import EVERYTHING
from feedback.preferences import violation_test
from tests.bench import rlhf, rlhf_targets, rlhf_tastes

EVALUATION = {
    "win_rate": 0.8,
    "win_rate_low": 0.72,
    "win_rate_high": 0.86,
    "controls": {
        "stop_controlled": 0.6,
        "stop_controlled_low": 0.53,
        "stop_controlled_high": 0.67,
        "first_sentence": 0.7,
    },
    "violation_rate_before": 0.5,
    "violation_rate_before_low": 0.45,
    "violation_rate_before_high": 0.55,
    "violation_rate_after": 0.08,
    "violation_rate_after_low": 0.06,
    "violation_rate_after_high": 0.11,
    "violation_n_after": 400,
    "first_sentence_violation_rate_before": 0.3,
    "first_sentence_violation_rate_before_low": 0.25,
    "first_sentence_violation_rate_before_high": 0.35,
    "first_sentence_violation_rate_after": 0.06,
    "first_sentence_violation_rate_after_low": 0.04,
    "first_sentence_violation_rate_after_high": 0.08,
    "perplexity_ratio": 1.01,
    "kl_nats": 5.0,
    "length_ratio": 0.9,
    "empty_rate": 0.0,
}
GOOD = {
    "simulated": True,
    "seed": 0,
    "taste": "plain-words",
    "about_content": True,
    "seen_before": False,
    "reward_model": {
        "accuracy": 0.75,
        "accuracy_low": 0.7,
        "accuracy_high": 0.8,
        "flag_auc": 0.95,
        "trained_pairs": 612,
    },
    "policy": {},
    "evaluation": EVALUATION,
    "stage_seconds": {"reward_model": 90.0, "policy": 150.0, "evaluation": 60.0},
}


def changed(path, value, **fields):
    """GOOD with another figure; the path's parts are separated by dots."""
    made = copy.deepcopy(GOOD) | fields
    *above, last = path.split(".")
    inner = made
    for part in above:
        inner = inner[part]
    inner[last] = value
    return made


def test_a_result_that_meets_every_target_misses_none():
    assert rlhf_targets.misses([GOOD]) == []
    assert all(check["holds"] for check in rlhf_targets.checks(GOOD))
    shown = rlhf_targets.render([GOOD])
    assert "Every target is met." in shown
    assert "SIMULATED annotators: plain-words (hidden, about content)" in shown
    assert "MISS" not in shown


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("reward_model.accuracy", 0.719, "reward model accuracy 0.719 [0.700, 0.800], asked at least 0.72"),
        ("reward_model.flag_auc", 0.92, "flag AUC 0.920, asked at least 0.93"),
        ("evaluation.violation_rate_after", 0.11, "violations cut 4.545 (0.50 [0.45, 0.55] -> 0.11 [0.06, 0.11])"),
        (
            "evaluation.violation_rate_after_high",
            0.46,
            "violations cut 6.250 (0.50 [0.45, 0.55] -> 0.08 [0.06, 0.46], ",
        ),
        ("evaluation.first_sentence_violation_rate_after", 0.08, "violations cut, first sentence 3.750"),
        ("evaluation.win_rate_low", 0.59, "win rate, low 0.800 [0.590, 0.860], asked at least 0.6"),
        ("evaluation.perplexity_ratio", 1.04, "perplexity 1.040, asked at most 1.03"),
        ("reward_model.flag_auc", None, "flag AUC -, asked at least 0.93"),
    ],
)
def test_each_miss_is_told_with_its_figures_and_the_target(path, value, told):
    missed = rlhf_targets.misses([GOOD, changed(path, value, seed=7)])
    assert len(missed) == 1
    assert missed[0].startswith("seed 7, plain-words: ")
    assert told in missed[0]
    shown = rlhf_targets.render([GOOD, changed(path, value, seed=7)])
    assert "1 targets missed:" in shown
    assert f"MISSED {missed[0]}" in shown


def test_content_has_to_be_learnt_in_every_seed_of_one_taste_about_content():
    low = "evaluation.controls.stop_controlled_low"
    weak = changed(low, 0.49, seed=1)
    other = changed(low, 0.55, taste="speaks-to-you")
    (missed,) = rlhf_targets.misses([GOOD, weak])
    assert "on no taste about content above 0.5 in every seed (plain-words 0.530 0.490)" in missed
    assert rlhf_targets.misses([GOOD, weak, other]) == []
    shape = changed(low, 0.2, taste="shorter", about_content=False)
    assert rlhf_targets.misses([shape]) == []


def test_only_the_figures_of_stages_that_ran_are_asked_for():
    learned = {key: value for key, value in GOOD.items() if key not in ("policy", "evaluation")}
    assert [check["name"] for check in rlhf_targets.checks(learned)] == ["reward model accuracy", "flag AUC"]
    assert rlhf_targets.misses([learned]) == []
    assert "violations" not in rlhf_targets.render([learned])


@pytest.fixture
def children(monkeypatch):
    """Child processes that were started, each of which learns in no time; a taste named in `broken` kills its own."""
    started, broken = [], set()

    def run_child(what, home, given):
        home.mkdir(parents=True, exist_ok=True)
        started.append((what, given["seed"], given.get("preference", "")))
        if given.get("preference") in broken:
            raise SystemExit("killed")
        return {stage: GOOD[stage] for stage in given["stages"]} | {"stage_seconds": GOOD["stage_seconds"]}

    def copy_home(source, target):
        assert (source / "result.json").exists()
        target.mkdir(parents=True)

    monkeypatch.setattr(rlhf, "run_child", run_child)
    monkeypatch.setattr(rlhf, "copy_home", copy_home)
    monkeypatch.setattr(rlhf, "link_policy", lambda policy, models: models.mkdir(parents=True))
    return started, broken


def call(tmp_path, *words):
    (tmp_path / "manifest.json").write_text('{"base": "pypi:somewhere"}')
    return rlhf.main(["--policy", str(tmp_path), "--work", str(tmp_path / "work"), *words])


def test_a_seed_samples_once_and_what_is_finished_is_not_run_again(tmp_path, children, capsys):
    started, broken = children
    words = ("--seeds", "0", "1", "--tastes", "shorter", "plain-words", "--json", str(tmp_path / "all.json"))
    plain = "tests.bench.rlhf_tastes:plain_words"
    broken.add(plain)
    with pytest.raises(SystemExit):
        call(tmp_path, *words)
    assert started == [("collect", 0, ""), ("learn", 0, "shorter"), ("learn", 0, plain)]
    started.clear(), broken.clear()
    assert call(tmp_path, *words) == 0
    assert started == [("learn", 0, plain), ("collect", 1, ""), ("learn", 1, "shorter"), ("learn", 1, plain)]
    started.clear()
    assert call(tmp_path, *words) == 0
    assert started == []
    kept = json.loads((tmp_path / "all.json").read_text())
    assert [(one["seed"], one["taste"]) for one in kept["results"]] == [
        (0, "shorter"), (0, "plain-words"), (1, "shorter"), (1, "plain-words"),
    ]  # fmt: skip
    assert (kept["simulated"], kept["missed"]) == (True, [])
    assert "SIMULATED annotators: plain-words" in capsys.readouterr().out


def test_other_rankings_or_rules_are_another_result_and_more_stages_are_added(tmp_path, children):
    started, _ = children
    words = ("--seeds", "0", "--tastes", "shorter")
    call(tmp_path, *words, "--stages", "reward_model")
    call(tmp_path, *words)
    assert [what for what, *_ in started] == ["collect", "learn", "learn"]
    call(tmp_path, *words, "--stages", "reward_model")
    assert len(started) == 3
    call(tmp_path, *words, "--rankings", "40")
    call(tmp_path, *words, "--rule", "tests.tastes:has_an_a")
    assert [what for what, *_ in started[3:]] == ["collect", "learn", "learn"]


@pytest.mark.parametrize(
    "wrong",
    [
        ["--tastes", "nothing"],
        ["--tastes", "tests.tastes:absent"],
        ["--rule", "tests.tastes"],
        ["--stages", "policy"],
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(tmp_path, children, wrong):
    with pytest.raises(SystemExit) as refused:
        call(tmp_path, *wrong)
    assert refused.value.code == 2
    assert children[0] == []


def test_another_base_is_another_result(tmp_path, children):
    started, _ = children
    words = ("--seeds", "0", "--tastes", "shorter")
    call(tmp_path, *words)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/manifest.json").write_text('{"base": "/models/other"}')
    call(tmp_path, *words, "--policy", str(tmp_path / "other"))
    assert [what for what, *_ in started] == ["collect", "learn"] * 2
    with pytest.raises(SystemExit, match="no policy directory"):
        call(tmp_path, *words, "--policy", str(tmp_path / "absent"))


def test_a_rule_of_ones_own_stands_for_a_rule_of_the_site():
    assert rlhf.flags_of(None) is None
    assert rlhf.flags_of("tests.tastes:has_an_a") == {"not-human": "tests.tastes:has_an_a"}
    assert rlhf.flags_of("no-body=tests.tastes:has_an_a") == {"no-body": "tests.tastes:has_an_a"}
    assert violation_test("tests.tastes:has_an_a")("", "banana")


@pytest.mark.parametrize("taste", rlhf_tastes.TASTES.values())
def test_tastes_about_content_earn_nothing_by_length(taste):
    question, reply = "What do sparrows eat in winter?", "You can see sparrows eat seeds and crumbs in winter."
    once, twice = taste(question, reply), taste(question, f"{reply} {reply}")
    assert twice == pytest.approx(once)
    assert taste(question, "") < once


def test_the_demos_lengths_are_what_the_bench_trains_with():
    from tests.bench import rlhf_cell

    given = {"seed": 4, "rankings": 9, "set": {"policy.iterations": "2"}}
    asked = rlhf_cell.hyperparameters(given)
    ours = EVERYTHING.hyperparameters
    assert asked == {**ours, "policy": {**ours.get("policy", {}), "iterations": 2}}
    plan = rlhf_cell.plan_of({**given, "preference": "shorter"})
    assert (plan.rankings, plan.held_out_noise) == (9, 0.0)
    assert plan.max_tokens == asked["policy"].get("max_tokens"), (
        "as long as the site's own where nothing is asked for"
    )
