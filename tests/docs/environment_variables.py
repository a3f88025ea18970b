"""The environment variables that the settings read, with their defaults."""

import ast

from docs.tree import ROOT


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
