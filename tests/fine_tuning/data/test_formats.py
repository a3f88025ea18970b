"""Files of every kind as rows, against what was written into them by other means; and what is no row, by its line."""

import csv
import datetime
import json

import pytest
from openpyxl import Workbook

from fine_tuning.data import formats
from fine_tuning.data.survey import survey
from fine_tuning.errors import BadFile, NothingThere


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows(path, name=None):
    found = list(formats.lines(path, name or path.name))
    assert [line.problem for line in found if line.problem] == []
    return [(line.number, line.form, line.row) for line in found]


def problems(path, name=None):
    return [(one.problem.line, one.problem.code) for one in formats.lines(path, name or path.name) if one.problem]


PAIRS = [{"prompt": "Wo? ->", "completion": ' Dort, "hier"\nund da'}, {"prompt": "왜?", "completion": " 그냥"}]


def test_json_lines(tmp_path):
    text = "\ufeff" + "\r\n".join(json.dumps(row) for row in PAIRS) + "\n\n"
    path = write(tmp_path, "a.jsonl", text)
    assert rows(path) == [(1, "prompt_completion", PAIRS[0]), (2, "prompt_completion", PAIRS[1])]


@pytest.mark.parametrize(("name", "dialect"), [("a.csv", "excel"), ("a.tsv", "excel-tab")])
def test_tables_as_the_csv_module_writes_them(tmp_path, name, dialect):
    with (tmp_path / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, dialect=dialect)
        writer.writerows(
            [["Prompt", "note", "Completion"], *([row["prompt"], "x", row["completion"]] for row in PAIRS)]
        )
    assert [row for _, _, row in rows(tmp_path / name)] == PAIRS


def test_a_sheet(tmp_path):
    book = Workbook()
    book.active.append(["completion", "prompt", "more"])
    for row in PAIRS:
        book.active.append([row["completion"], row["prompt"], 3])
    book.active.append([None, None, None])
    book.save(tmp_path / "a.xlsx")
    assert rows(tmp_path / "a.xlsx") == [(2, "prompt_completion", PAIRS[0]), (3, "prompt_completion", PAIRS[1])]


def test_cells_say_what_a_person_reads_in_them(tmp_path):
    book = Workbook()
    book.active.append(["prompt", "completion"])
    moments = (datetime.date(2026, 11, 25), datetime.datetime(2026, 11, 25, 9, 30))
    for cell in (*moments, 42, 3.5):
        book.active.append(["?", cell])
    book.save(tmp_path / "a.xlsx")
    said = [row["completion"] for _, _, row in rows(tmp_path / "a.xlsx")]
    assert said == ["2026-11-25", "2026-11-25 09:30:00", "42", "3.5"]


def test_who_wrote_on_another_sheet_is_told_that_the_first_is_read(tmp_path):
    book = Workbook()
    for cells in (["prompt", "completion"], ["a", "b"]):
        (book["second"] if "second" in book.sheetnames else book.create_sheet("second")).append(cells)
    book.save(tmp_path / "a.xlsx")
    with pytest.raises(BadFile, match="the first sheet has no examples, and other sheets are not read"):
        survey(tmp_path / "a.xlsx", "a.xlsx")


def test_plain_text_is_one_example_a_line_without_a_prompt(tmp_path):
    path = write(tmp_path, "a.txt", "first\n\n  second \n")
    assert [row for _, _, row in rows(path)] == [
        {"prompt": "", "completion": "first"},
        {"prompt": "", "completion": "  second "},
    ]


def test_turns_and_preferences_in_both_spellings(tmp_path):
    chat = {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]},
                         {"role": "assistant", "content": "Ho", "weight": 0}]}  # fmt: skip
    assert formats.row_of(chat) == (
        "messages",
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho", "weight": 0}]},
    )
    turns = [{"role": "user", "content": "Hi"}]
    wanted = {"prompt": turns, "chosen": "Ho", "rejected": "Hm"}
    theirs = {
        "input": {"messages": turns},
        "preferred_output": [{"role": "assistant", "content": "Ho"}],
        "non_preferred_output": [{"role": "assistant", "content": "Hm"}],
    }
    assert formats.row_of(wanted) == formats.row_of(theirs) == ("preference", wanted)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b'{"prompt": "a", "completion": "b"', "truncated"),
        (b'{"prompt": "a", "completion": NaN}\n', "not_json"),
        (b'{"prompt": "a", "completion": Infinity}\n', "not_json"),
        (b'{"prompt": "\xff", "completion": "b"}\n', "not_utf8"),
        (b"[" * 100_000 + b"\n", "too_deep"),
        (b'{"a": ' * 100_000 + b"\n", "too_deep"),
        (b"[]\n", "not_an_object"),
        (b'"text"\n', "not_an_object"),
        (b'{"prompt": "a"}\n', "missing_key"),
        (b'{"prompt": 1, "completion": "b"}\n', "not_text"),
        (b'{"prompt": "\\ud800", "completion": "b"}\n', "not_text"),
        (b'{"prompt": "\\u0000", "completion": "b"}\n', "not_text"),
        (b'{"messages": []}\n', "wrong_turns"),
        (b'{"messages": [{"role": "assistant", "content": "b"}]}\n', "wrong_turns"),
        (b'{"messages": [{"role": "wizard", "content": "b"}]}\n', "wrong_role"),
        (b'{"messages": [{"role": "user", "content": {"a": 1}}]}\n', "not_text"),
        (b'{"prompt": "a", "chosen": "b"}\n', "missing_key"),
        (b'{"prompt": "a", "chosen": "b", "rejected": "b"}\n', "no_preference"),
        (b'{"completion": "' + b"a" * 2**20 + b'"}\n', "line_too_long"),
        (b'{"completion": ' + b"9" * 5_000 + b"}\n", "not_json"),
    ],
)
def test_a_line_that_is_no_row_is_told_by_its_number(tmp_path, line, code):
    path = write(tmp_path, "a.jsonl", b'{"prompt": "a", "completion": "b"}\n' + line)
    assert problems(path) == [(2, code)]


def test_lines_after_one_that_is_too_long_keep_their_numbers(tmp_path):
    long = b'{"completion": "' + b"a" * (3 * 2**20) + b'"}\n'
    path = write(tmp_path, "a.jsonl", long + b"?\n")
    assert problems(path) == [(1, "line_too_long"), (2, "not_json")]


@pytest.mark.parametrize("magic", [b"\x1f\x8b\x08\x00", b"PK\x03\x04", b"BZh9"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.txt"])
def test_nothing_is_unpacked(tmp_path, magic, name):
    assert problems(write(tmp_path, name, magic + bytes(64))) == [(1, "packed")]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b'prompt,completion\n"a,b', "not_a_table"),
        (b"prompt,answer\na,b\n", "no_columns"),
        (b"prompt,completion\na,\xff\n", "not_utf8"),
    ],
)
def test_a_table_that_is_none(tmp_path, content, code):
    assert code in [found for _, found in problems(write(tmp_path, "a.csv", content))]


def test_more_lines_than_the_site_takes(tmp_path, settings):
    settings.UPLOAD_LINES = 3
    path = write(tmp_path, "a.txt", "a\n" * 1000)
    found = list(formats.lines(path, "a.txt"))
    assert (len(found), found[-1].problem.code) == (4, "too_many_lines")


def test_a_survey_names_the_first_fifty_bad_lines_and_counts_the_others(tmp_path):
    path = write(tmp_path, "a.jsonl", '{"completion": "a"}\n' + "?\n" * 70)
    with pytest.raises(BadFile) as caught:
        survey(path, "a.jsonl")
    assert [problem.line for problem in caught.value.problems] == list(range(2, 52))
    assert caught.value.total == 70
    assert "and 20 more lines" in str(caught.value)


def test_a_survey_refuses_a_mixture_and_an_empty_file(tmp_path):
    mixed = write(tmp_path, "a.jsonl", '{"completion": "a"}\n{"messages": [{"role": "user", "content": "b"}]}\n')
    with pytest.raises(BadFile, match="line 2"):
        survey(mixed, "a.jsonl")
    with pytest.raises(NothingThere):
        survey(write(tmp_path, "b.jsonl", "\n \n"), "b.jsonl")


def test_a_survey_notes_what_teaches_nothing(tmp_path):
    lines = [
        '{"prompt": "a", "completion": "b"}',
        '{"completion": "b", "prompt": "a"}',
        '{"prompt": "c", "completion": " "}',
    ]
    found = survey(write(tmp_path, "a.jsonl", "\n".join(lines)), "a.jsonl")
    assert (found.form, found.lines, found.notes.total) == ("prompt_completion", 3, 2)
    assert [(note.line, note.code) for note in found.notes] == [(2, "duplicate"), (3, "empty")]
