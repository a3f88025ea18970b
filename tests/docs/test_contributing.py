"""The contributors' guide and the changelog against pyproject.toml."""

import re
import tomllib

from tests.docs.pages import read, rows

PROJECT = tomllib.loads(read("pyproject.toml"))
LAYERS = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
"""The uppermost first; each may import those after it. Apps of one layer do not know each other."""
HEIGHTS = {app: height for height, layer in enumerate(LAYERS) for app in layer.split(" | ") if app != "config"}


def table():
    """{from: {to: may}} of the import table."""
    cells = rows(read("CONTRIBUTING.md"))
    start = next(index for index, row in enumerate(cells) if row[0].startswith("from"))
    head = cells[start][1:]
    return {row[0]: dict(zip(head, row[1:], strict=True)) for row in cells[start + 1 :] if len(row) == len(head) + 1}


def test_the_import_table_is_the_one_that_import_linter_holds():
    wanted = {
        app: {other: "-" if other == app else "yes" if HEIGHTS[other] > HEIGHTS[app] else "no" for other in HEIGHTS}
        for app in HEIGHTS
    }
    shown = {app: {k: v for k, v in row.items() if k != "torch"} for app, row in table().items() if app in wanted}
    assert shown == wanted


def test_the_newest_entry_of_the_changelog_is_this_version():
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$", read("CHANGELOG.md"), re.MULTILINE)
    assert versions[0] == PROJECT["project"]["version"]
    assert versions == sorted(versions, key=lambda version: [*map(int, version.split("."))], reverse=True)


def test_no_change_stands_twice_in_a_version():
    versions = re.split(r"^## ", read("CHANGELOG.md"), flags=re.MULTILINE)
    changes = [re.findall(r"^- .+$", version, re.MULTILINE) for version in versions]
    assert [line for lines in changes for line in set(lines) if lines.count(line) > 1] == []
