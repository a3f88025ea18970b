"""Preparing, against what the tool of 2023 itself (openai 0.27.10, `-q`) made of the same lines; and step by step."""

import json
from pathlib import Path

import pytest

from fine_tuning.data.preparing import CLASSIFICATION, kind_of, prepare

REFERENCE = json.loads(Path(__file__).with_name("prepared_in_2023.json").read_text())
"""{case: {"given": rows, "made": rows}}"""


def numbered(rows):
    return list(enumerate(rows, 1))


@pytest.mark.parametrize("case", REFERENCE)
def test_the_same_lines_come_out_as_of_the_tool(case):
    prepared = prepare("prompt_completion", numbered(REFERENCE[case]["given"]))
    assert [row for _, row in prepared.rows] == REFERENCE[case]["made"]


def test_each_change_is_named_counted_and_shown_before_it_is_made():
    rows = [
        {"prompt": "who?", "completion": "me"},
        {"prompt": "who?", "completion": "me"},
        {"prompt": "where", "completion": " far"},
    ]
    changes = {change.code: change for change in prepare("prompt_completion", numbered(rows), []).changes}
    assert list(changes) == ["duplicates", "prompt_end", "completion_end", "completion_space"]
    assert [(s.line, s.after) for s in changes["duplicates"].samples] == [(2, None)]
    assert changes["completion_space"].count == 2
    assert changes["completion_space"].samples[0].after == {"prompt": "who?", "completion": " me"}


def test_only_what_was_chosen_is_made():
    rows = [{"prompt": "a", "completion": "b"}, {"prompt": "c", "completion": "d"}, {"prompt": "e", "completion": ""}]
    prepared = prepare("prompt_completion", numbered(rows), ["completion_space"])
    assert prepared.rows == [(1, {"prompt": "a", "completion": " b"}), (2, {"prompt": "c", "completion": " d"})]


def test_lines_keep_their_numbers():
    rows = [{"prompt": "a", "completion": ""}, {"prompt": "c", "completion": " d"}]
    assert [number for number, _ in prepare("prompt_completion", numbered(rows)).rows] == [2]


def test_turns_are_only_sorted_out():
    row = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    long = {"messages": [{"role": "user", "content": "a" * 10_001}, {"role": "assistant", "content": "b"}]}
    prepared = prepare("messages", numbered([row, row, long]))
    assert ([change.code for change in prepared.changes], prepared.rows) == (["duplicates", "long"], [(1, row)])


def test_nothing_to_do_is_nothing_done():
    rows = [{"prompt": f"a{n} ->", "completion": f" b{n}\n"} for n in range(3)]
    prepared = prepare("prompt_completion", numbered(rows))
    assert (prepared.changes, [row for _, row in prepared.rows]) == ([], rows)


def test_few_completions_are_classes():
    assert kind_of([{"prompt": str(n), "completion": " yes" if n % 2 else " no"} for n in range(8)]) == CLASSIFICATION
