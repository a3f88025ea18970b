"""Every page against the repository: paths, links, commands that are typed, and the two languages."""

import importlib.util
import re
import shutil
import sys
from pathlib import Path

import pytest
from django.core.management import get_commands

from docs.tree import ROOT
from tests.docs.pages import (
    PAGES,
    TRANSLATED,
    anchor,
    code_words,
    exists,
    headings,
    links,
    read,
    rows,
    typed_blocks,
)

PATH = re.compile(r"^(?:[\w.-]+/)+[\w.-]*$|^[\w-]+\.(?:py|toml|md)$")
NO_PATH = (
    "var/",
    "screenshots/",
    ".venv/",
    "node_modules/",
    "build/",
    "Asia/",
    "train/",
    "eval/",
    "rewards/",
    "sampler/",
)
OUTPUT = "Created fine-tune: ft-..."
"""First line of the one block that a program says."""
SHELL = {"git", "cd", "export", "python3.11", "old/bin/pip", "old/bin/openai"}


@pytest.fixture(params=PAGES)
def page(request):
    return Path(request.param)


def test_every_path_that_is_named_exists(page):
    named = [word for word in code_words(read(page)) if PATH.match(word) and not word.startswith(NO_PATH)]
    assert [path for path in named if not exists(path)] == []


def test_every_link_leads_somewhere(page):
    broken = []
    for link in links(read(page)):
        target, _, fragment = link.partition("#")
        path = (ROOT / page).parent / target if target else ROOT / page
        if not path.exists() or (fragment and fragment not in anchors(path)):
            broken.append(link)
    assert broken == []


def anchors(path):
    return [anchor(text) for _, text in headings(path.read_text(encoding="utf-8"))]


def targets():
    return set(re.findall(r"^([a-z][a-z-]*):", read("Makefile"), re.MULTILINE))


def problem_with(line):
    """What is wrong with a line that is to be typed; None if it can be typed."""
    for part in line.split(" && "):
        program, *rest = part.split()
        if program in SHELL:
            continue
        if program == "make" and rest and rest[0] in targets():
            continue
        if program.endswith("manage.py") and rest and rest[0] in get_commands():
            continue
        if program in {"uvicorn", "celery"} and is_installed(program):
            continue
        if program.startswith(".venv/bin/") and is_installed(program.removeprefix(".venv/bin/")):
            continue
        return part
    return None


def is_installed(program):
    return Path(sys.executable).with_name(program).exists() or shutil.which(program) is not None


def test_every_line_to_be_typed_can_be_typed(page):
    lines = [line for block in typed_blocks(read(page)) if block[0] != OUTPUT for line in block]
    assert [problem for line in lines if (problem := problem_with(line))] == []


def test_every_command_in_a_sentence_exists(page):
    words = code_words(read(page))
    assert {word.split()[1] for word in words if re.match(r"make [a-z]", word)} - targets() == set()
    named = {match for word in words for match in re.findall(r"manage\.py ([a-z_]+)", word)}
    assert named - set(get_commands()) == set()
    modules = {match for word in words for match in re.findall(r"python -m ([\w.]+)", word)}
    assert [module for module in modules if importlib.util.find_spec(module) is None] == []


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("make test", None),
        ("make no-such-target", "make no-such-target"),
        ("git clone x && cd x", None),
        ("cd x && manage.py no_such_command", "manage.py no_such_command"),
    ],
)
def test_a_line_that_cannot_be_typed_is_found(line, wanted):
    assert problem_with(line) == wanted


@pytest.mark.parametrize("name", TRANSLATED)
def test_both_languages_have_the_same_parts(name):
    english, korean = read(f"docs/{name}.md"), read(f"docs/{name}.ko.md")
    assert [level for level, _ in headings(english)] == [level for level, _ in headings(korean)]
    assert [len(row) for row in rows(english)] == [len(row) for row in rows(korean)]
    assert typed_blocks(english) == typed_blocks(korean)
    assert sorted(filter(PATH.match, code_words(english))) == sorted(filter(PATH.match, code_words(korean)))


def test_every_page_of_docs_is_in_the_navigation():
    listed = re.findall(r"^- \[[^]]+\]\(([\w.-]+)\)", read("docs/index.md"), re.MULTILINE)
    there = {path.name for path in ROOT.glob("docs/*.md")} - {"index.md"}
    assert sorted(listed) == sorted(there)
