"""docs/growing.md row by row: each is executed by a test or a command that exists, or says that it was not run."""

import ast
import functools
import re

import pytest
from django.utils.module_loading import import_string

from docs.tree import ROOT, packages
from tests.docs.environment_variables import variables
from tests.docs.growing_rows import ROWS, Entry
from tests.docs.pages import code_words, read, tables

PAGE, KOREAN = "docs/growing.md", "docs/growing.ko.md"
SETTING = re.compile(r"\b(?:CHAMSAE_[A-Z0-9_]+|[A-Z]+(?:_[A-Z]+)*_URL)\b")
SHOWN = [(heading, cells) for heading, rows in tables(read(PAGE)) for cells in rows]
ENTRIES = [(heading, name, entry) for heading, rows in ROWS.items() for name, entry in rows.items()]


def test_every_row_has_an_entry_and_every_entry_a_row():
    shown = [(heading, cells[0]) for heading, cells in SHOWN]
    entered = [(heading, name) for heading, name, _ in ENTRIES]
    assert len(shown) == len(set(shown))
    problems = [f"no entry in growing_rows.py: {one}" for one in shown if one not in entered]
    problems += [f"no row in {PAGE}: {one}" for one in entered if one not in shown]
    assert not problems, "\n".join(problems)


def test_each_row_of_what_never_ran_where_it_is_meant_for_says_so():
    assert [
        name for name, entry in ROWS["Written, but never run where it is meant for"].items() if not entry.unrun
    ] == []


def problems_of(entry: Entry, text: str) -> list[str]:
    """What is wrong with an entry whose row has this text."""
    found = [f"nothing executes this: {by}" for by in entry.by if not is_there(by)]
    if entry.unrun not in text:
        found.append(f"the row does not say: {entry.unrun}")
    if not entry.by and not entry.unrun:
        found.append("it is neither executed nor says so")
    return found


def is_there(by: str) -> bool:
    """Whether pytest would collect the test, make and its bench know the words, or .ci/run has them."""
    if "::" in by:
        path, name = by.split("::")
        return name in collected(path)
    if by.startswith("make "):
        target, _, arguments = by.removeprefix("make ").partition(" ")
        word = arguments.removeprefix("ARGS=").strip('"').split(" ")[0]
        return bool(re.search(rf"^{target}:", read("Makefile"), re.MULTILINE)) and (not word or word in benches())
    return by in read(".ci/run")


@functools.cache
def collected(path: str) -> set[str]:
    """Names of the tests of a file, as pytest finds them."""
    if not (ROOT / path).is_file() or not (ROOT / path).name.startswith("test_"):
        return set()
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = {node.name for node in ast.parse(read(path)).body if isinstance(node, functions)}
    return {name for name in found if name.startswith("test_")}


@functools.cache
def benches() -> set[str]:
    """What `make bench` takes as its first word."""
    for node in ast.parse(read("tests/bench/__main__.py")).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            return {key.value for key in node.value.keys if isinstance(key, ast.Constant)}
    return set()


@pytest.mark.parametrize(("heading", "name", "entry"), ENTRIES, ids=[name for _, name, _ in ENTRIES])
def test_what_executes_a_row_is_there_or_the_row_says_that_it_was_not_run(heading, name, entry):
    texts = [" ".join(cells) for place, cells in SHOWN if (place, cells[0]) == (heading, name)]
    assert [problem for text in texts for problem in problems_of(entry, text)] == []


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (Entry(("tests/docs/test_growing.py::test_nothing",), ""), "nothing executes this"),
        (Entry(("tests/docs/growing_rows.py::row",), ""), "nothing executes this"),
        (Entry(("make no-such-target",), ""), "nothing executes this"),
        (Entry(('make bench ARGS="no-such-bench"',), ""), "nothing executes this"),
        (Entry(("NO_SUCH_URL=",), ""), "nothing executes this"),
        (Entry(("make demo",), "never on the moon"), "the row does not say"),
        (Entry((), ""), "it is neither executed nor says so"),
    ],
)
def test_an_entry_that_says_nothing_is_found(entry, problem):
    assert [found for found in problems_of(entry, "a row, never run") if not found.startswith(problem)] == []
    assert problems_of(entry, "a row, never run")


@pytest.mark.parametrize("page", [PAGE, KOREAN])
def test_every_setting_that_is_named_exists(page):
    named = {setting for word in code_words(read(page)) for setting in SETTING.findall(word)}
    assert named - set(variables()) == set()


@pytest.mark.parametrize("page", [PAGE, KOREAN])
def test_every_class_that_is_named_can_be_imported(page):
    path = re.compile(rf"\b(?:{'|'.join(packages())})(?:\.[a-z_]+)+\.[A-Z]\w+")
    named = {name for word in code_words(read(page)) for name in path.findall(word)}
    assert named
    assert all(import_string(name) for name in named)


def test_each_row_names_the_same_settings_in_both_languages():
    korean = [cells for _, rows in tables(read(KOREAN)) for cells in rows]
    assert [settings(cells) for _, cells in SHOWN] == [settings(cells) for cells in korean]


def settings(cells):
    return sorted(SETTING.findall(" ".join(cells)))
