"""The pages of commands against the Makefile and manage.py, both ways."""

import re

import pytest
from django.core.management import get_commands

from docs.tree import packages
from tests.docs.pages import read, rows


@pytest.fixture(params=["docs/commands.md", "docs/commands.ko.md"])
def named(request):
    """What stands in the first column of the tables."""
    return [row[0].strip("`") for row in rows(read(request.param)) if row[0].startswith("`")]


def test_every_make_target_with_a_help_text_has_a_row(named):
    targets = re.findall(r"^([a-z][a-z-]*):.*## \S", read("Makefile"), re.MULTILINE)
    assert sorted(name.removeprefix("make ") for name in named if name.startswith("make ")) == sorted(targets)


def test_every_command_of_ours_has_a_row(named):
    ours = [name for name, app in get_commands().items() if app in packages()]
    assert sorted(name for name in named if re.fullmatch(r"[a-z_]+", name)) == sorted(ours)
