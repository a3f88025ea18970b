"""Names and words: each class has a name of its own, a module shows what it offers, and one word means one thing."""

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = (
    *("accounts", "api", "base", "chat", "config", "docs", "feedback", "fine_tuning", "lecture", "metering", "rlhf"),
    "tests",
)
LOADED_BY_NAME = {"accounts/context.py", "api/views/failing.py", "base/error_pages.py", "docs/conf.py"}
"""Modules whose functions settings, URL handlers or a tool look up by name."""
NAMED_ELSEWHERE = ("/fsck.py", "/personal_data.py", "/models.py")
"""Checks go by their names to people, protocols to other apps, defaults of fields to migrations."""
ENTRY_POINTS = {"main", "serve", "run", "check"}
"""Of programs that are started with `python -m`, of the stages of a training process, of the gate's conditions."""
REGISTERS = ("register.", "shared_task", "receiver")
"""Decorators by which something else finds the function."""
TEXTS = ("*.py", "*.html", "*.md", "*.js", "*.toml", "Makefile")
FORBIDDEN = {
    r"the queue's hands": "Celery tasks: what they do",
    r"hands for that": "background worker",
    r"[Tt]wice is as good as once": "Idempotent.",
    r"\b[Ll]abell?er\b": "annotator",
    r"\b[Rr]aters?\b": "annotator",
    r"\bduels?\b": "comparison",
    r"gate's verdict|verdict of the gate": "decision",
    r"\b[Ff]eedback dump\b": "snapshot",
    r"\bold model\b": "reference model",
    r"No link leads here": "No links yet.",
    r"will stand here": "will appear here",
    r"조정자": "운영자",
    r"엄지": "좋아요·싫어요",
}
"""What is not to be written, and what to write instead."""


@cache
def sources():
    """{path relative to the root: syntax tree} of every module that is not a migration."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "migrations" not in path.parts:
                found[path.relative_to(ROOT).as_posix()] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def product():
    return {path: tree for path, tree in sources().items() if not path.startswith("tests/")}


def module_of(path):
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@cache
def used_elsewhere():
    """{module: its names that other files use}: imports, attributes of imported modules, dotted paths in strings."""
    modules, used = {module_of(path) for path in sources()}, defaultdict(set)
    for tree in sources().values():
        imported = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                for name in node.names:
                    whole = f"{node.module}.{name.name}"
                    if whole in modules:
                        imported[name.asname or name.name] = whole
                    used[node.module].add(name.name)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                for module, name in dotted(node.value):
                    used[module].add(name)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in imported:
                used[imported[node.value.id]].add(node.attr)
    return used


def dotted(text):
    """(module, name) for each way to read `package.module.name.attribute` or `package.module:name`."""
    if re.fullmatch(r"[\w.]+(:\w+)?", text) and ("." in text or ":" in text):
        parts = re.split(r"[.:]", text)
        for end in range(1, len(parts)):
            yield ".".join(parts[:end]), parts[end]


def is_found_by_others(path, function):
    if path in LOADED_BY_NAME or path.endswith(NAMED_ELSEWHERE) or function.name in ENTRY_POINTS:
        return True
    if any(word in ast.unparse(decorator) for decorator in function.decorator_list for word in REGISTERS):
        return True
    return function.name in used_elsewhere()[module_of(path)]


def loaded_by_settings():
    """Modules that the settings name as a whole: what they offer is a protocol."""
    strings = {
        node.value
        for node in ast.walk(sources()["config/settings.py"])
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {path for path in product() if module_of(path) in strings}


def test_functions_that_only_their_own_file_uses_begin_with_an_underscore():
    by_settings = loaded_by_settings()
    bare = [
        f"{path}: {node.name}"
        for path, tree in product().items()
        if path not in by_settings and path != "feedback/preferences.py" and "/management/" not in path
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
        and not is_found_by_others(path, node)
    ]
    assert bare == []


def test_no_module_uses_what_another_keeps_to_itself():
    taken = [
        f"{path}: {node.module}.{name.name}"
        for path, tree in product().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in PACKAGES
        for name in node.names
        if name.name.startswith("_")
    ]
    assert taken == []


def test_two_classes_never_share_a_name():
    places = defaultdict(list)
    for path, tree in product().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name != "Command":  # Django's name for every command
                places[node.name].append(path)
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_words_that_were_given_up_stand_nowhere():
    found = [
        f"{path.relative_to(ROOT)}: {pattern!r}, say {better!r}"
        for path in texts()
        for pattern, better in FORBIDDEN.items()
        if re.search(pattern, path.read_text(encoding="utf-8"))
    ]
    assert found == []


def texts():
    """What people read: code, pages, docs, catalogue. The two tests that name the words are left out."""
    folders = [ROOT / name for name in (*PACKAGES, "templates", "static")]
    files = [path for folder in folders for pattern in TEXTS for path in folder.rglob(pattern)]
    files += [*ROOT.glob("*.md"), ROOT / "Makefile", ROOT / "locale/ko/LC_MESSAGES/django.po"]
    naming = {Path(__file__), ROOT / "tests/config/test_words.py"}
    return [path for path in files if path not in naming and "migrations" not in path.parts]
