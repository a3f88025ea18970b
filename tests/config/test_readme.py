"""Both READMEs against the code: commands, make targets, paths and the table of settings."""

import ast
import re
from pathlib import Path

import pytest
from django.core.management import get_commands

ROOT = Path(__file__).parents[2]
READMES = ("README.md", "README.ko.md")
APPS = ("base", "accounts", "api", "metering", "chat", "config", "feedback", "rlhf", "fine_tuning")
PATH = re.compile(r"`((?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:py|toml|md))`")
ELSEWHERE = ("var/", "screenshots/", ".venv/", "Asia/")
TYPED = re.compile(r"^    \S.*$", re.MULTILINE)
"""Lines to be typed; to be looked for outside of the tree."""


@pytest.fixture(params=READMES)
def readme(request):
    return (ROOT / request.param).read_text(encoding="utf-8")


def variables():
    """{name: default} of every environment variable that the settings read; a computed default is None."""
    found = {}
    for path in (ROOT / "config/settings.py", ROOT / "config/secret.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            is_reader = (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
            )
            if is_reader and node.func.value.id == "env" and node.args and isinstance(node.args[0], ast.Constant):
                found[node.args[0].value] = default_of(node)
    return found


def default_of(call):
    if len(call.args) < 2:
        return {"flag": "0"}.get(call.func.attr, "")
    value = call.args[1]
    if not isinstance(value, ast.Constant):
        return None
    return str(int(value.value)) if isinstance(value.value, bool) else str(value.value)


def table_of(readme):
    """{name: default} of the rows of the settings table."""
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([^|]*) \|", readme, re.MULTILINE)
    return {name: default.strip().strip("`") for name, default in rows}


def test_every_setting_stands_in_the_table_and_nothing_else(readme):
    assert sorted(table_of(readme)) == sorted(variables())


def test_the_defaults_of_the_table_are_those_of_the_code(readme):
    shown = table_of(readme)
    wrong = {
        name: (shown.get(name), wanted)
        for name, wanted in variables().items()
        if wanted not in (None, shown.get(name))
    }
    assert wrong == {}


def test_every_command_that_is_named_exists_and_every_command_is_named(readme):
    ours = {name for name, app in get_commands().items() if app in APPS}
    named = (
        set(re.findall(r"manage\.py (\w+)", readme))
        | set(re.findall(r"^\| `(\w+)(?: [^|]*)?` \|", readme, re.MULTILINE)) & ours
    )
    assert sorted(named - set(get_commands())) == []
    assert sorted(ours - named) == []


def test_every_make_target_that_is_named_exists_and_every_target_is_named(readme):
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^    )make ([a-z][a-z-]*)", readme, re.MULTILINE))
    assert sorted(named - targets) == []
    assert sorted(targets - named) == []


def test_every_path_that_is_named_exists(readme):
    paths = [path for path in PATH.findall(readme) if not path.startswith(ELSEWHERE)]
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def tree_of(readme):
    """Paths of the tree: lines of `    name   phrase` under lines of `folder/   phrase`, by indentation."""
    block = re.search(r"```text\n(\w+/.*?)```", readme, re.DOTALL).group(1)
    found, folders = {}, {}
    for line in filter(str.strip, block.splitlines()):
        depth = (len(line) - len(line.lstrip())) // 2
        names, _, phrase = line.strip().partition("  ")
        for name in names.split():
            path = "".join(folders[level] for level in range(depth)) + name
            found[path] = phrase.strip()
            folders[depth] = name
    return found


def modules_wanted():
    """Our own modules, without those whose names say it all wherever Django is used."""
    modules = [path.relative_to(ROOT) for app in APPS for path in (ROOT / app).rglob("*.py")]
    usual = {"__init__.py", "apps.py", "urls.py", "admin.py"}
    return {
        str(path) for path in modules if path.name not in usual and not {"migrations", "management"} & {*path.parts}
    }


def test_the_tree_names_every_module_with_a_phrase(readme):
    tree = tree_of(readme)
    assert sorted(modules_wanted() - set(tree)) == []
    assert [path for path in tree if not (ROOT / path).exists()] == []
    assert [path for path, phrase in tree.items() if not phrase] == []


def test_both_readmes_have_the_same_parts():
    english, korean = ((ROOT / name).read_text(encoding="utf-8") for name in READMES)
    assert [len(mark) for mark in re.findall(r"^(#+) ", english, re.MULTILINE)] == [
        len(mark) for mark in re.findall(r"^(#+) ", korean, re.MULTILINE)
    ]
    assert TYPED.findall(english.split("```")[0]) == TYPED.findall(korean.split("```")[0])
    assert table_of(english).keys() == table_of(korean).keys()
    assert tree_of(english).keys() == tree_of(korean).keys()
