"""The readers of published rankings and the floors that the bench holds a reward model against, on invented lines."""

import gzip
import json
import math

import pytest

from rlhf.training.snapshot.files import SnapshotFiles
from tests.bench import human_files, human_floors
from tests.bench.human_floors import Pair

ASKED = "\n\nHuman: Hello\n\nAssistant: Hi.\n\nHuman: Is it late?\n\nAssistant: "


def _hh(folder, *pairs):
    path = folder / "pairs.jsonl.gz"
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps({"chosen": one, "rejected": other}) + "\n" for one, other in pairs)
    return human_files.hh_rlhf(path)


def test_a_pair_of_dialogues_is_a_ranking_of_their_last_replies(tmp_path):
    (line,) = _hh(tmp_path, (ASKED + "No.\n\nNot at all.", ASKED + "Yes."))
    assert [turn["role"] for turn in line["prompt"]] == ["user", "assistant", "user"]
    assert line["prompt"][-1]["content"] == "Is it late?"
    assert [reply["text"] for reply in line["completions"]] == ["No.\n\nNot at all.", "Yes."]
    assert line["ranks"] == [1, 2]


def test_dialogues_that_differ_before_their_last_reply_are_left_out(tmp_path):
    assert _hh(tmp_path, (ASKED + "No.", "\n\nHuman: Other\n\nAssistant: No.")) == []


def _message(name, role, replies=(), rank=None):
    return {"message_id": name, "role": role, "text": f"text {name}", "rank": rank, "replies": list(replies)}


def test_every_ranked_set_of_a_tree_is_a_ranking_with_the_turns_above_it(tmp_path):
    below = _message("b", "prompter", [_message("c", "assistant", rank=1), _message("d", "assistant", rank=0)])
    tree = _message(
        "p", "prompter", [_message("a", "assistant", [below], rank=0), _message("e", "assistant", rank=1)]
    )
    (tmp_path / "trees.jsonl").write_text(json.dumps({"prompt": tree}) + "\n")
    top, deep = human_files.open_assistant(tmp_path / "trees.jsonl")
    assert (top["id"], top["ranks"]) == ("p", [1, 2])
    assert [turn["content"] for turn in deep["prompt"]] == ["text p", "text a", "text b"]
    assert deep["ranks"] == [2, 1]


def test_a_dialogue_is_on_one_side_and_the_files_are_a_snapshot(tmp_path):
    def line(name, opening):
        turns = [{"role": "user", "content": opening}]
        completions = [{"text": text, "finish_reason": "stop"} for text in ("one", name)]
        return {"id": name, "prompt": turns, "completions": completions, "ranks": [1, 2], "weight": 1.0}

    lines = human_files.split([line(f"{n}-{m}", f"Opening {n}") for n in range(60) for m in range(2)], 0.25, 0)
    sides = {}
    for one in lines:
        sides.setdefault(one["prompt"][0]["content"], set()).add(one["split"])
    assert all(len(side) == 1 for side in sides.values())
    assert {"train", "held_out"} == set().union(*sides.values())
    human_files.write_snapshot(tmp_path / "snapshot", lines)
    assert len(SnapshotFiles.load(tmp_path / "snapshot").rankings) == 120


def test_pairs_leave_ties_and_equal_texts_out():
    completions = [{"text": text} for text in ("a", "b", "b", "c")]
    line = {"prompt": [], "completions": completions, "ranks": [2, 1, 3, 2]}
    found = {(pair.better, pair.worse) for pair in human_floors.pairs_of([line])}
    assert found == {("b", "a"), ("b", "c"), ("a", "b"), ("c", "b")}


def test_the_longer_one_wins():
    pairs = [Pair("long", "s", ""), Pair("s", "long", ""), Pair("ab", "cd", "")]
    assert human_floors.longer_wins(pairs) == [1.0, 0.0, 0.5]


def test_the_bag_of_words_is_the_logistic_regression_of_one_word():
    """With one word, better in 3 of 4 pairs, the optimum solves 3 e^-w/(1+e^-w) = 1/(1+e^-w) + w for a ridge of 1."""
    trained = [Pair("good", "", "")] * 30 + [Pair("", "good", "")] * 10
    with_word, without, neither = human_floors.bag_of_words(
        trained, [Pair("good", "", ""), Pair("", "good", ""), Pair("x", "y", "")]
    )
    assert (with_word, without, neither) == (1.0, 0.0, 0.5)
    one = human_floors._fit(human_floors._rows(trained, {"good": 0}))
    weight = float(one[0])
    assert 30 / (1 + math.exp(weight)) - 10 / (1 + math.exp(-weight)) == pytest.approx(weight, abs=1e-4)
