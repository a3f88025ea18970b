"""The length at which a policy is trained: that of the completions that were ranked, within what a few cores bear."""

import json

import pytest

from rlhf.snapshots import lengths


class Words:
    """A tokenizer of which every word is a token."""

    def continuation(self, text):
        return text.split()


def snapshot(folder, *counts, finish_reason="stop"):
    completions = [{"text": "word " * count, "finish_reason": finish_reason} for count in counts]
    lines = [json.dumps({"completions": completions[k : k + 2]}) for k in range(0, len(completions), 2)]
    (folder / "rankings.jsonl").write_text("".join(line + "\n" for line in lines))
    return folder


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((), 48),
        ((5, 9), 48),
        ((*[40] * 9, 100), 48),
        ((*[40] * 8, 100, 100), 112),
        ((*[63] * 19, 500), 64),
        ((*[64] * 19, 500), 80),
        ((500, 600), 256),
    ],
)
def test_nine_in_ten_completions_are_no_longer(tmp_path, counts, expected):
    assert lengths.completion_tokens(snapshot(tmp_path, *counts), Words()) == expected


def test_one_that_was_cut_has_no_end_token(tmp_path):
    assert lengths.completion_tokens(snapshot(tmp_path, *[64] * 10), Words()) == 80
    assert lengths.completion_tokens(snapshot(tmp_path, *[64] * 10, finish_reason="length"), Words()) == 64
