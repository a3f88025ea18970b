"""Rows of every form as tokens: what is seen, what is to be said, what is cut, and what is refused."""

import json
from pathlib import Path

import pytest

from rlhf.training.fine_tuning import held_out
from rlhf.training.fine_tuning.examples import Example, answering, supervised
from rlhf.training.fine_tuning.rows import BadRow, DataRow, NoRows, read_rows
from rlhf.training.tokens import ChatTokenizer
from tests.rlhf.training.fine_tuning.run_directories import CHATS, PAIRS, PREFERENCES, write

END = "<|im_end|>"


def learnt(example: Example, tokenizer: ChatTokenizer) -> str:
    ids = [token for token, said in zip(example.ids, example.answer, strict=True) if said]
    return str(tokenizer.tokenizer.decode(ids))


def seen(example: Example, tokenizer: ChatTokenizer) -> str:
    return str(tokenizer.tokenizer.decode(example.ids))


def only(row: DataRow, tokenizer: ChatTokenizer, limit: int = 512, prompt_weight: float = 0.0) -> Example:
    (example,) = supervised(row, tokenizer, prompt_weight=prompt_weight, limit=limit)
    return example


def test_a_completion_goes_on_from_its_raw_prompt_and_ends(tokenizer: ChatTokenizer, tmp_path: Path) -> None:
    row = read_rows(write(tmp_path / "x.jsonl", PAIRS), "prompt_completion")[0]
    example = only(row, tokenizer, prompt_weight=0.25)
    assert seen(example, tokenizer) == f"What is star? -> gas and star\n{END}"
    assert learnt(example, tokenizer) == f" gas and star\n{END}"
    prompt = tokenizer.tokenizer("What is star? ->", add_special_tokens=False)["input_ids"]
    assert list(example.ids[: len(prompt)]) == prompt  # encoded by itself, as it is when the model is asked
    assert set(example.weights[1 : len(prompt)]) == {0.25}
    assert (example.weights[0], set(example.weights[len(prompt) :])) == (0.0, {1.0})


@pytest.mark.parametrize("prompt", ["", None])
def test_without_a_prompt_a_document_begins(tokenizer: ChatTokenizer, tmp_path: Path, prompt: str | None) -> None:
    path = write(tmp_path / "x.jsonl", [{"prompt": prompt, "completion": "Once"}])
    example = only(read_rows(path, "prompt_completion")[0], tokenizer)
    assert example.ids[0] == tokenizer.tokenizer.bos_token_id
    assert learnt(example, tokenizer) == f"Once{END}"
    assert example.tokens == example.length - 1  # the start of a document is nobody's token


def test_control_tokens_in_the_data_stay_text(tokenizer: ChatTokenizer) -> None:
    special = set(tokenizer.tokenizer.all_special_ids)
    raw = only(DataRow(f"say {END}", f" a{END}b"), tokenizer)
    assert [token for token in raw.ids if token in special] == [tokenizer.end_id]
    chat = only(DataRow((("user", f"say {END}"),), f"a{END}b", learns_turns=True), tokenizer)
    plain = only(DataRow((("user", "say"),), "ab", learns_turns=True), tokenizer)
    assert [t for t in chat.ids if t in special] == [t for t in plain.ids if t in special]


def test_a_conversation_is_what_the_chat_template_renders_and_each_answer_is_learnt(
    tokenizer: ChatTokenizer, tmp_path: Path
) -> None:
    row = read_rows(write(tmp_path / "x.jsonl", CHATS), "messages")[0]
    example = only(row, tokenizer)
    whole = tokenizer.tokenizer.apply_chat_template(CHATS[0]["messages"], tokenize=False)
    assert seen(example, tokenizer) == whole.rstrip("\n")  # nothing is said after the last end
    assert learnt(example, tokenizer) == f"gas and star{END}star is star.{END}"


def test_an_answer_of_weight_0_is_seen_but_not_learnt(tokenizer: ChatTokenizer, tmp_path: Path) -> None:
    turns = [dict(turn) for turn in CHATS[0]["messages"]]
    turns[1]["weight"] = 0
    row = read_rows(write(tmp_path / "x.jsonl", [{"messages": turns}]), "messages")[0]
    example = only(row, tokenizer)
    assert learnt(example, tokenizer) == f"star is star.{END}"
    assert "gas and star" in seen(example, tokenizer)


def test_a_template_that_forgets_what_it_said_makes_an_example_of_each_answer(tokenizer: ChatTokenizer) -> None:
    class Forgetful(ChatTokenizer):
        def prompt_ids(self, messages, *, limit=None):  # type: ignore[no-untyped-def]
            return super().prompt_ids(messages[-1:], limit=limit)

    forgetful = Forgetful(tokenizer.tokenizer, Path())
    row = DataRow((("user", "a"), ("assistant", "b"), ("user", "c")), "d", learns_turns=True)
    found = supervised(row, forgetful, prompt_weight=0.0, limit=512)
    assert [learnt(example, tokenizer) for example in found] == [f"b{END}", f"d{END}"]
    assert "b" not in seen(found[1], tokenizer).replace(END, "")


def test_what_is_too_long_loses_the_prompt_s_start_and_then_the_answer_s_end(tokenizer: ChatTokenizer) -> None:
    example = answering("one two three four", " yes", tokenizer, limit=8)
    assert example.length == 8
    assert learnt(example, tokenizer) == f" yes{END}"
    assert seen(example, tokenizer).endswith(f"our yes{END}")
    cut = answering("one", " yes" * 20, tokenizer, limit=8)
    assert cut.length == 8
    assert END not in seen(cut, tokenizer)  # a model must not learn to stop in the middle
    long = DataRow((("user", "x " * 40), ("assistant", "b"), ("user", "c")), "d", learns_turns=True)
    assert all(e.length <= 24 for e in supervised(long, tokenizer, prompt_weight=0.0, limit=24))


def test_a_preference_s_sides_may_be_text_or_turns(tmp_path: Path) -> None:
    turns = {**PREFERENCES[0], "chosen": [{"role": "assistant", "content": "A star."}]}
    one, other = read_rows(write(tmp_path / "x.jsonl", [PREFERENCES[0], turns]), "preference")
    assert one == other
    assert (one.completion, one.rejected) == ("A star.", "I feel happy")


@pytest.mark.parametrize(
    ("form", "row", "word"),
    [
        ("prompt_completion", {"prompt": "x"}, "completion"),
        ("prompt_completion", {"prompt": 1, "completion": "x"}, "1"),
        ("messages", {"messages": [{"role": "user", "content": "x"}]}, "assistant"),
        ("messages", {"messages": [{"role": "robot", "content": "x"}]}, "robot"),
        ("messages", {"messages": [{"role": "assistant", "content": "x"}]}, "before"),
        ("preference", {"prompt": "x", "chosen": "y"}, "rejected"),
        ("preference", {"prompt": [], "chosen": "y", "rejected": "z"}, "message"),
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, form: str, row: dict, word: str) -> None:
    good = {"prompt_completion": PAIRS, "messages": CHATS, "preference": PREFERENCES}[form][0]
    (tmp_path / "x.jsonl").write_text(json.dumps(good) + "\n\n" + json.dumps(row) + "\n")
    with pytest.raises(BadRow, match=word) as caught:
        read_rows(tmp_path / "x.jsonl", form)
    assert caught.value.line == 3
    with pytest.raises(NoRows):
        read_rows(write(tmp_path / "empty.jsonl", []), form)


def rows(count: int) -> list[DataRow]:
    return [DataRow(f"p{index}", f"c{index}") for index in range(count)]


@pytest.mark.parametrize(("count", "back"), [(9, 0), (10, 1), (24, 2), (200, 20), (900, 50)])
def test_a_tenth_is_held_out_of_ten_rows_or_more(count: int, back: int) -> None:
    learnt, held = held_out.split(rows(count), None, seed=1)
    assert (len(held), len(learnt)) == (back, count - back)
    assert set(learnt) | set(held) == set(rows(count))
    assert held == held_out.split(rows(count), None, seed=1)[1]
    assert count < 24 or held != held_out.split(rows(count), None, seed=2)[1]
    assert held_out.split(rows(count), None, share=0, seed=1) == (rows(count), [])


def test_a_row_that_is_said_twice_is_not_on_both_sides() -> None:
    for seed in range(20):
        learnt, held = held_out.split(rows(12) * 2, None, seed=seed)
        assert held
        assert not set(learnt) & set(held)
    assert held_out.split(rows(1) * 30, None, seed=0)[1] == []


def test_a_validation_file_is_held_out_and_nothing_else() -> None:
    assert held_out.split(rows(200), rows(3), seed=0) == (rows(200), rows(3))
