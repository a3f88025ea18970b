"""The pages of settings against the readers of environment variables, both ways."""

import ast
import re

import pytest

from docs.tree import ROOT
from tests.docs.pages import read


@pytest.fixture(params=["docs/settings.md", "docs/settings.ko.md"])
def shown(request):
    """{name: default} of the rows of the tables."""
    found = re.findall(r"^\| `([A-Z_]+)` \| ([^|]*) \|", read(request.param), re.MULTILINE)
    assert len(found) == len({name for name, _ in found})
    return {name: default.strip().strip("`") for name, default in found}


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


def test_every_setting_has_a_row_and_every_row_a_setting(shown):
    assert sorted(shown) == sorted(variables())


def test_the_defaults_are_those_of_the_code(shown):
    wrong = {
        name: (shown.get(name), wanted)
        for name, wanted in variables().items()
        if wanted not in (None, shown.get(name))
    }
    assert wrong == {}
