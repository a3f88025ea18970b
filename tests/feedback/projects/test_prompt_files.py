"""Files of prompts: what is read from each format, every wrong line with its number, nothing that cannot be kept."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.projects import people, prompt_files
from feedback.projects.errors import LinesRefused, PromptFileRefused

STORABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60).filter(
    lambda text: text.strip()
)


def wrong(text, kind, **options):
    with pytest.raises(PromptFileRefused) as refused:
        prompt_files.read(text, kind, **options)
    return [line.line for line in refused.value.lines]


def test_a_line_of_json_has_turns_a_system_prompt_tags_and_a_side():
    turns = [("user", "Hi"), ("assistant", "Hello."), ("user", "참새?")]
    row = {
        "messages": [{"role": role, "content": text} for role, text in turns],
        "system": "Be brief.",
        "tags": ["a", "b", "a"],
        "side": "held_out",
    }
    found = prompt_files.read("\n" + json.dumps(row) + "\n", "jsonl")[0]
    assert [turn["role"] for turn in found.messages] == ["system", "user", "assistant", "user"]
    assert (found.line, found.language, found.tags, found.side) == (2, "ko", ["a", "b"], "held_out")


def test_csv_cells_may_contain_lines_and_quotes():
    text = 'prompt,tags,reply_1,reply_2\n"One\n""two""",x; y,Yes,No\nThree,,A,B\n'
    first, second = prompt_files.read(text, "csv", replies=(2, 16))
    assert first.messages == [{"role": "user", "content": 'One\n"two"'}]
    assert ([tag.strip() for tag in first.tags], first.replies, first.line) == (["x", "y"], ["Yes", "No"], 2)
    assert second.line == 4


def test_each_wrong_line_is_named():
    lines = ['{"prompt": "fine"}', "{", '{"prompt": ""}', '{"prompt": "x", "language": "English"}', "[]"]
    lines += ['{"prompt": "x", "colour": 1}', '{"prompt": "x", "side": "left"}', '{"prompt": 5}', '{"system": "x"}']
    assert wrong("\n".join(lines), "jsonl") == [2, 3, 4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize(
    "roles",
    [["assistant"], ["user", "assistant"], ["user", "user"], ["user", "system", "user"], ["system"], ["tool"], []],
)
def test_turns_alternate_and_end_with_the_user(roles):
    assert wrong(json.dumps({"messages": [{"role": role, "content": "x"} for role in roles]}), "jsonl") == [1]


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b", " \n", "x" * 20_001])
def test_a_text_that_cannot_be_stored_or_is_too_long_is_refused(text):
    assert wrong(json.dumps({"prompt": text}), "jsonl") == [1]


def test_replies_are_merged_and_at_least_two_differ():
    row = {"prompt": "x", "replies": ["Yes.", " Yes. ", "No."]}
    assert prompt_files.read(json.dumps(row), "jsonl", replies=(2, 16))[0].replies == ["Yes.", "No."]
    assert wrong(json.dumps({**row, "replies": ["Yes.", "Yes."]}), "jsonl", replies=(2, 16)) == [1]
    assert wrong(json.dumps(row), "jsonl") == [1]


@pytest.mark.parametrize("header", ["text", "prompt,prompt", "prompt,colour", "prompt,messages"])
def test_columns_have_known_names(header):
    assert wrong(f"{header}\nx,y\n", "csv") == [1]


def test_files_that_are_too_large_or_not_utf_8_are_refused(settings):
    settings.FEEDBACK_PROJECT_BYTES, settings.FEEDBACK_PROJECT_PROMPTS = 20, 2
    with pytest.raises(PromptFileRefused):
        prompt_files.decoded(b"x" * 21)
    with pytest.raises(PromptFileRefused, match="Line 2"):
        prompt_files.decoded(b"fine\n\xff\xfe")
    assert wrong("a\nb\nc\nd", "lines") == [3]
    assert wrong("\n \n", "lines") == [0]


def read_or_refused(reader):
    """(what was read, the lines that were refused), one of them empty."""
    try:
        return reader(), []
    except LinesRefused as refused:
        return [], [line for line in refused.lines if str(line)]


@given(st.lists(STORABLE, min_size=1, max_size=8))
def test_json_lines_come_back_as_they_were_written(texts):
    written = "\n".join(json.dumps({"prompt": text}, ensure_ascii=False) for text in texts)
    assert [line.messages[0]["content"] for line in prompt_files.read(written, "jsonl")] == texts


@given(st.lists(STORABLE, min_size=1, max_size=8))
def test_csv_comes_back_as_it_was_written(texts):
    to = io.StringIO(newline="")
    rows = csv.writer(to)
    rows.writerow(["prompt"])
    rows.writerows([text] for text in texts)
    assert [line.messages[0]["content"] for line in prompt_files.read(to.getvalue(), "csv")] == texts


@given(st.text(max_size=200), st.sampled_from(prompt_files.FORMATS), st.sampled_from([(2, 16), (0, 0), (1, 1)]))
def test_whatever_is_sent_is_read_or_refused_with_lines(text, kind, replies):
    found, lines = read_or_refused(lambda: prompt_files.read(text, kind, replies=replies))
    assert found or lines
    for line in found:
        json.dumps(line.messages, ensure_ascii=False).encode()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([*prompt_files.FIELDS, "role", "content"]), inner, max_size=4)
        ),
        max_leaves=12,
    )
)
def test_whatever_json_is_sent_is_read_or_refused_with_lines(value):
    found, lines = read_or_refused(lambda: prompt_files.read(json.dumps(value), "jsonl", replies=(2, 16)))
    assert found or lines


@given(st.text(max_size=120))
def test_whatever_list_of_people_is_sent_is_read_or_refused_with_lines(text):
    found, lines = read_or_refused(lambda: people.read(text))
    assert all(line.username for line in found)
    assert len({line.username for line in found}) == len(found)
    assert all(line.line >= 0 for line in lines)
