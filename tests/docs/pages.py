"""The pages that people read, and what is taken out of them to be held against the code."""

import re
from pathlib import Path

from docs.tree import ROOT

READMES = ("README.md", "README.ko.md")
TRANSLATED = ("settings", "commands", "changes", "growing")
"""Pages of docs/ that are there in Korean, too."""
PAGES = sorted(
    str(path.relative_to(ROOT)) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")) if path.name != "tree.md"
)
"""All but the one that is written from the docstrings."""


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def headings(page: str) -> list[tuple[int, str]]:
    """(level, text) of each heading outside of code."""
    outside = re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)
    return [(len(marks), text) for marks, text in re.findall(r"^(#+) (.+)$", outside, re.MULTILINE)]


def anchor(heading: str) -> str:
    """The anchor of a heading, as GitHub and MyST make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def links(page: str) -> list[str]:
    """Targets of links and pictures that lie in the repository."""
    found = re.findall(r"\]\(([^)\s]+)\)", page) + re.findall(r'(?:src|srcset)="([^"]+)"', page)
    return [target for target in found if not target.startswith(("http:", "https:"))]


def typed_blocks(page: str) -> list[list[str]]:
    """Blocks of indented lines: what is to be typed, or what a program says."""
    outside = re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)
    blocks = re.findall(r"(?:^|\n\n)((?:    \S.*(?:\n|\Z))+)", outside)
    return [[line.strip() for line in block.splitlines()] for block in blocks]


def rows(page: str) -> list[list[str]]:
    """Cells of each row of each table, head rows included."""
    lines = re.findall(r"^\|(.*)\|$", page, re.MULTILINE)
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)] for line in lines]
    return [row for row in cells if not set("".join(row)) <= {"-", ":"}]


def tables(page: str) -> list[tuple[str, list[list[str]]]]:
    """(the heading above it, its rows as cells, without the head row) of each table."""
    found: list[tuple[str, list[list[str]]]] = []
    heading, before = "", ""
    for line in re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL).splitlines():
        if title := re.match(r"#+ (.+)$", line):
            heading = title[1]
        elif re.match(r"\|[-:| ]+\|$", line):
            found.append((heading, []))
        elif line.startswith("|") and before.startswith("|"):
            found[-1][1].append([cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))])
        before = line
    return found


def code_words(page: str) -> list[str]:
    """What stands between single backticks."""
    return re.findall(r"`([^`\n]+)`", page)


def exists(path: str) -> bool:
    """From the root, or in some app, as in `models.py` of "the app's `models.py`"."""
    return (ROOT / path).exists() or any(Path(ROOT).glob(f"*/{path}"))
