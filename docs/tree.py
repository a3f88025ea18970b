"""Writes docs/tree.md: every module in one sentence, the first of its docstring. `make tree` runs it."""

import ast
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/tree.md"
LEFT_OUT = {"migrations", "tests"}
CONVENTIONAL = {"__init__.py", "apps.py", "urls.py", "admin.py"}
"""Files that every Django project has: listed only where they have a docstring."""
PRESCRIBED = {"management", "commands", "templatetags", "formats"}
"""Packages whose names Django prescribes: they need no sentence."""
HEAD = """# Every module in one sentence

Written by `make tree` from the first sentence of each module's docstring: to change a line, change the docstring.
Migrations and tests are left out.
"""


def packages(root: Path = ROOT) -> list[str]:
    """Top-level packages but the tests."""
    return sorted(path.parent.name for path in root.glob("*/__init__.py") if path.parent.name not in LEFT_OUT)


def _modules(root: Path = ROOT) -> Iterator[Path]:
    """Each module of those packages, relative to the root, folder by folder."""
    for package in packages(root):
        for path in sorted((root / package).rglob("*.py"), key=lambda path: (path.parent.parts, path.name)):
            relative = path.relative_to(root)
            if not LEFT_OUT.intersection(relative.parts):
                yield relative


def sentence(path: Path) -> str:
    """The first sentence of a module's docstring; empty where it has none."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    paragraph = " ".join(docstring.split("\n\n")[0].split())
    return re.split(r"(?<=[.?!])\s+(?=[A-Z`\"(])", paragraph)[0]


def without_sentence(root: Path = ROOT) -> list[Path]:
    """Modules and packages that should say what they are for, and do not."""
    return [path for path in _modules(root) if _needs_sentence(path) and not sentence(root / path)]


def _needs_sentence(path: Path) -> bool:
    if path.name == "__init__.py":
        return not PRESCRIBED.intersection(path.parts)
    return path.name not in CONVENTIONAL


def page(root: Path = ROOT) -> str:
    """The whole of docs/tree.md."""
    folders = groupby(_modules(root), key=lambda path: path.parent)
    parts = [HEAD, *(part for folder, paths in folders for part in _part_of(folder, paths, root))]
    return "\n".join(parts).rstrip() + "\n"


def _part_of(folder: Path, paths: Iterator[Path], root: Path) -> Iterator[str]:
    """Heading, sentence and list of one folder; nothing where nothing in it says anything."""
    says = {path.name: sentence(root / path) for path in paths}
    intro = says.pop("__init__.py", "")
    entries = [f"- `{name}`: {text}" for name, text in says.items() if text]
    if intro or entries:
        yield f"{'##' if len(folder.parts) == 1 else '###'} `{folder.as_posix()}/`\n"
    if intro:
        yield f"{intro}\n"
    if entries:
        yield "\n".join(entries) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
