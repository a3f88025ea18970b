"""The reward model of the bench on published rankings: its figures are those of the stage, and each is made once."""

import json
import random

import numpy as np
import pytest
import torch

from rlhf.training.reward import stage
from tests.bench import human, human_files, human_floors, human_learning, human_report
from tests.bench.human_learning import HeldOutPair
from tests.rlhf.training.reward.run_directories import QUICK, run_directory

WORDS = ["light", "rain", "sun", "bird", "seed", "star", "rice", "gas", "drop", "mate", "water", "home", "song"]


def _line(number, draw):
    """Better replies end with a full stop; a third has three replies."""
    texts = [
        " ".join(draw.sample(WORDS, draw.randint(2, 5))) + end for end in (".", "", " feel")[: 2 + number % 3 // 2]
    ]
    completions = [{"text": text, "finish_reason": "stop"} for text in texts]
    prompt = [{"role": "user", "content": f"What is thing {number} of {draw.choice(WORDS)}?"}]
    return {"id": f"line-{number}", "prompt": prompt, "completions": completions, "ranks": [1, 2, 3][: len(texts)]}


@pytest.fixture(scope="module")
def lines():
    draw = random.Random(3)
    return [{**_line(number, draw), "weight": 1.0} for number in range(28)]


@pytest.fixture(scope="module")
def said():
    return []


@pytest.fixture(scope="module")
def material(lines, tiny, said, tmp_path_factory):
    return human_learning.prepare(lines, tiny, tmp_path_factory.mktemp("human"), QUICK, said.append)


def test_a_training_gives_the_figures_of_the_stage(lines, material, tiny, tmp_path):
    divided = human_files.split(lines, 0.3, 1)
    sides = {side: {line["id"] for line in divided if line["split"] == side} for side in ("train", "held_out")}
    found = human_learning.learn(material, sides["train"], sides["held_out"], 3, lambda _: None)
    human_files.write_snapshot(tmp_path / "snapshot", divided)
    settings = {**QUICK, **human_learning.DEFAULTS}
    directory = run_directory(
        tmp_path / "run", tiny, tmp_path / "snapshot", hyperparameters=settings, judge=None, seed=3
    )
    expected = stage.run(directory)
    assert expected["pairs"] == len(found) > 8
    assert sum(pair.right for pair in found) / len(found) == pytest.approx(expected["accuracy"], abs=0.5 / len(found))
    assert expected["accuracy"] != 0.5


def test_pairs_are_those_that_the_floors_are_measured_on(lines, material):
    asked = [line for line in lines if line["id"] in ("line-2", "line-7")]
    found = human_learning.learn(material, {"line-0", "line-1"}, {"line-2", "line-7"}, 0, lambda _: None)
    pairs = human_floors.pairs_of(asked)
    assert {pair.place for pair in found} == {pair.place for pair in pairs}
    longer = {pair.place: pair.longer for pair in found}
    by_text = {pair.place: len(pair.better) - len(pair.worse) for pair in pairs}
    assert all((longer[place] > 0) == (by_text[place] > 0) for place in by_text if abs(by_text[place]) > 6)


def test_states_are_read_again_and_not_made_again(lines, material, tiny, tmp_path, monkeypatch):
    human_learning.prepare(lines, tiny, tmp_path, QUICK, lambda _: None)
    monkeypatch.setattr("rlhf.training.model.transformer.Transformer.run_trunk", lambda *_: 1 / 0)
    again = human_learning.prepare(lines, tiny, tmp_path, QUICK, lambda _: None)
    assert (again.states[0] == material.states[0]).all()


def test_made_up_replies_are_refused(lines, tiny, tmp_path):
    with pytest.raises(SystemExit, match="made_up_each"):
        human_learning.prepare(lines, tiny, tmp_path, {"made_up_each": 2}, lambda _: None)


def test_what_is_left_is_told_from_what_was_done_in_this_call(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    said = []
    told = human_learning.Told(said.append, "reading", 100)
    told(40)  # a former call had done that
    now[0] = 60.0
    told(50)
    assert said == ["reading: 50%, about 5.0 minutes left"]
    now[0] = 61.0
    told(51)
    assert len(said) == 1
    by_size = human_learning.Told(said.append, "states", 10).by_shortest_first([7, 1, 2])
    by_size(0, 3)
    now[0] = 121.0
    by_size(2, 3)
    assert said[-1] == "states: 30%, about 2.3 minutes left"


def test_a_judge_beside_the_length_is_fitted_on_other_prompts():
    """Margins say nothing and the longer one always wins: with the length every pair is right."""
    draw = random.Random(0)
    margins = [draw.choice((-1.0, 1.0)) for _ in range(60)]
    prompts = [f"prompt {number}" for number in range(60)]
    longer = [draw.uniform(0.5, 2.0) for _ in range(60)]
    assert sum(human_floors.with_length(margins, longer, prompts)) == 60
    assert sum(human_floors.with_length(margins, [-one for one in longer], prompts)) == 60
    assert human_floors.with_length([0.0] * 60, [0.0] * 60, prompts) == [0.5] * 60


def _options(tmp_path, tiny, *words):
    settings = [word for name, value in QUICK.items() for word in ("--set", f"{name}={value}")]
    where = ["--data", str(tmp_path), "--policy", str(tiny), "--work", str(tmp_path / "work"), "--threads", "1"]
    return [*where, *settings, "--only", "Open-Assistant", "--json", *words]


def test_the_learning_curve_is_told_and_not_made_again(lines, tiny, tmp_path, monkeypatch, capsys):
    (tmp_path / "oasst_trees_dev.jsonl").touch()
    monkeypatch.setitem(human.FILES, "Open-Assistant", ("oasst_trees_dev.jsonl", lambda path: lines))
    words = _options(tmp_path, tiny, "--shares", "0.5", "1.0", "--seeds", "1", "2")
    assert human.main(words) == 0
    (first,) = json.loads(capsys.readouterr().out)
    monkeypatch.setattr(human_learning, "learn", lambda *_: 1 / 0)
    monkeypatch.setattr(human_learning, "learn_linear", lambda *_: 1 / 0)
    assert human.main(words) == 0
    (again,) = json.loads(capsys.readouterr().out)
    assert again["reward_model"] == first["reward_model"]
    assert [row["share"] for row in first["reward_model"]] == [0.5, 1.0]
    for row in (first["longer_wins"], first["bag_of_words"], *first["linear_head"], *first["reward_model"]):
        assert row["low"] <= row["value"] <= row["high"]
    full = first["reward_model"][-1]
    assert full["better_than"]["longer_wins"]["value"] == pytest.approx(
        full["value"] - first["longer_wins"]["value"], abs=2e-4
    )


def test_a_reward_model_below_a_floor_is_said_to_be(capsys):
    floors = {name: {(0, (f"l{n}", 0, 1)): 1.0 for n in range(9)} for name in human_report.FLOORS}
    pairs = [HeldOutPair(f"p{n}", (f"l{n}", 0, 1), -1.0 if n else 1.0, 0.1) for n in range(9)]
    good = [pair._replace(margin=1.0) for pair in pairs]
    found = human_report.figures(floors, {"linear_head": {1.0: {0: good}}, "reward_model": {1.0: {0: pairs}}})
    assert found["reward_model"][0]["better_than"]["longer_wins"]["value"] == pytest.approx(-8 / 9, abs=1e-3)
    human_report.show({"name": "x", "seeds": [0], "seconds": 1, "cpu_seconds": 1, **found})
    told = capsys.readouterr().out
    assert "reward model: BELOW THE FLOOR" in told
    assert "frozen base: NOT ABOVE THE FLOOR" in told


def test_a_linear_head_finds_the_one_direction_that_counts_among_more_features_than_pairs():
    draw = np.random.default_rng(0)
    x, asked = draw.normal(size=(60, 80)), draw.normal(size=(40, 80))
    x[:, 0], asked[:, 0] = np.abs(x[:, 0]) + 4.0, np.abs(asked[:, 0]) + 4.0  # the better one always has more of it
    margins = human_floors.linear(x, [f"p{n}" for n in range(60)], asked)
    assert (margins > 0).all()
    assert (human_floors.linear(x, [f"p{n}" for n in range(60)], -asked) < 0).all()


def test_features_of_the_frozen_base_are_those_that_the_heads_read(material, tmp_path, monkeypatch):
    path = tmp_path / "features.npy"
    found = human_learning.frozen_features(material, path, lambda _: None)
    item = 5
    row, states = material.data.rows[item], material.states[item]
    top = material.transformer.run_top(states[None])[0]
    trunk = material.transformer.final_norm(states)
    ours = [part for side in (top, trunk) for part in (side[-1], side[row.prompt_length :].mean(0))]
    raw = np.load(path)
    assert raw[item] == pytest.approx(torch.cat(ours).numpy(), abs=2e-2)
    assert found.mean(0) == pytest.approx(0.0, abs=1e-6)
    monkeypatch.setattr(human_learning, "fresh_model", lambda *_: 1 / 0)
    assert (human_learning.frozen_features(material, path, lambda _: None) == found).all()
