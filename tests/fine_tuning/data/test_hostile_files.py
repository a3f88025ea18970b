"""Whatever bytes somebody sends under whatever name: lines or problems come out, and nothing else."""

import io
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from fine_tuning.data import formats

KINDS = ("a.jsonl", "a.csv", "a.tsv", "a.xlsx", "a.txt")
LIKELY = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from(
            [
                b'{"prompt": "a", "completion": "b"}',
                b'{"messages": [{"role": "user", "content": null}]}',
                b"{",
                b"[[",
                b'"',
                b",",
                b"\t",
                b"\n",
                b"\r\n",
                b"\xef\xbb\xbf",
                b"prompt,completion",
                b"prompt\tcompletion",
                b"1e999",
                b'{"prompt": ["a"], "chosen": 1, "rejected": {}}',
                b'{"input": 3, "preferred_output": []}',
                b"\x00",
                b'{"messages": {"role": "user"}}',
                b'{"messages": ["a"]}',
                b"-0",
                b"true",
                b"null",
                b'{"completion": null}',
            ]
        ),
    ),
    max_size=12,
).map(b"".join)
ONE_FOLDER = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(folder, content, name):
    path = folder / "x"
    path.write_bytes(content)
    found = list(formats.lines(path, name))
    assert all((line.row is None) != (line.problem is None) for line in found)
    assert [line.number for line in found] == sorted(line.number for line in found)
    return found


@ONE_FOLDER
@given(content=LIKELY, name=st.sampled_from(KINDS))
def test_any_bytes(tmp_path, content, name):
    read(tmp_path, content, name)


def sheet():
    book, file = Workbook(), io.BytesIO()
    book.active.append(["prompt", "completion"])
    book.active.append(["a", 3.5])
    book.active.append(["=1+1", True])
    book.save(file)
    return file.getvalue()


WHOLE = sheet()


@ONE_FOLDER
@given(changes=st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_sheet_with_bytes_changed(tmp_path, changes):
    content = bytearray(WHOLE)
    for place, value in changes:
        content[place] = value
    read(tmp_path, bytes(content), "a.xlsx")


PARTS = [name for name in zipfile.ZipFile(io.BytesIO(WHOLE)).namelist() if name.endswith((".xml", ".rels"))]


@ONE_FOLDER
@given(
    name=st.sampled_from(PARTS),
    cut=st.integers(0, 400),
    put=st.sampled_from(
        [b"", b"<", b'"', b"&x;", b"\xff", b"<row r='9999999999'/>", b' t="s"', b"<c r='ZZZZ1'/>", b"0"]
    ),
)
def test_a_sheet_whose_inside_is_damaged(tmp_path, name, cut, put):
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(WHOLE)) as source, zipfile.ZipFile(target, "w") as archive:
        for part in source.namelist():
            text = source.read(part)
            archive.writestr(part, text[:cut] + put + text[cut + len(put) :] if part == name else text)
    read(tmp_path, target.getvalue(), "a.xlsx")


def test_a_whole_sheet_is_read(tmp_path):
    rows = [line.row for line in read(tmp_path, WHOLE, "a.xlsx")]
    assert rows == [{"prompt": "a", "completion": "3.5"}, {"prompt": "", "completion": "True"}]


@pytest.mark.parametrize("part", PARTS)
def test_a_sheet_that_lacks_a_part(tmp_path, part):
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(WHOLE)) as source, zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            if name != part:
                archive.writestr(name, source.read(name))
    read(tmp_path, target.getvalue(), "a.xlsx")
