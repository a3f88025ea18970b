"""Both READMEs against the code: accounts, rules, the tree of folders, the order of the apps."""

import json
import re
import tomllib

import pytest
from django.conf import settings

from accounts.demo import ACCOUNTS
from docs.tree import ROOT, packages
from tests.docs.pages import READMES, code_words, headings, links, read, rows, typed_blocks

SCREEN_AND_A_HALF = 150
BESIDE = {"docs"}
"""Packages that are no app."""


@pytest.fixture(params=READMES)
def readme(request):
    return read(request.param)


def tree_of(readme):
    """Paths of the tree: lines of `  name/   phrase` under lines of `folder/   phrase`, by indentation."""
    found, folder = {}, ""
    for line in re.search(r"```text\n(.*?)```", readme, re.DOTALL).group(1).splitlines():
        names, phrase = re.split(r"  +", line.strip(), maxsplit=1)
        is_inner = line.startswith("  ")
        for name in names.split(", "):
            found[(folder if is_inner else "") + name] = phrase
        folder = folder if is_inner else names
    return found


def layers():
    """The apps, the uppermost first, as import-linter holds them."""
    contracts = tomllib.loads(read("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    return [app for layer in contracts[0]["layers"] for app in layer.split(" | ") if app != "config"]


def test_it_is_short(readme):
    assert len(readme.splitlines()) <= SCREEN_AND_A_HALF


def test_the_folders_of_the_tree_exist_and_say_what_they_are_for(readme):
    tree = tree_of(readme)
    assert [path for path in tree if not (ROOT / path).is_dir()] == []
    assert all(tree.values())


def test_every_app_is_in_the_tree(readme):
    assert {f"{package}/" for package in packages()} - set(tree_of(readme)) == set()


def test_the_order_of_the_apps_is_that_of_the_import_table(readme):
    line = next(line for line in readme.splitlines() if "import" in line and line.count("`") > 8)
    assert code_words(line) == layers()
    assert {*layers(), "config"} | BESIDE == set(packages())


def test_the_demo_accounts_are_those_of_the_code(readme):
    shown = [(row[0], row[1]) for row in rows(readme) if row[1] == f"`{settings.DEMO_PASSWORD}`"]
    assert [name for name, _ in shown] == [f"`{account.name}`" for account in ACCOUNTS]


def test_as_many_rules_come_along_as_it_says(readme):
    there = len(json.loads(read("feedback/seed/rules.json")))
    assert re.findall(r"(\d+) rules|규칙 (\d+)개", readme) in ([(str(there), "")], [("", str(there))])


def test_both_say_the_same():
    english, korean = map(read, READMES)
    assert [level for level, _ in headings(english)] == [level for level, _ in headings(korean)]
    assert typed_blocks(english) == typed_blocks(korean)
    assert list(tree_of(english)) == list(tree_of(korean))
    assert [row[0] for row in rows(english) if row[0].startswith("`")] == [
        row[0] for row in rows(korean) if row[0].startswith("`")
    ]
    without_language = [target.replace(".ko", "").split("#")[0] for target in links(korean)]
    assert without_language == [target.replace(".ko", "").split("#")[0] for target in links(english)]
