"""The pages of settings against the readers of environment variables, both ways."""

import re

import pytest

from tests.docs.environment_variables import variables
from tests.docs.pages import read


@pytest.fixture(params=["docs/settings.md", "docs/settings.ko.md"])
def shown(request):
    """{name: default} of the rows of the tables."""
    found = re.findall(r"^\| `([A-Z0-9_]+)` \| ([^|]*) \|", read(request.param), re.MULTILINE)
    assert len(found) == len({name for name, _ in found})
    return {name: default.strip().strip("`") for name, default in found}


def test_every_setting_has_a_row_and_every_row_a_setting(shown):
    assert sorted(shown) == sorted(variables())


def test_the_defaults_are_those_of_the_code(shown):
    wrong = {
        name: (shown.get(name), wanted)
        for name, wanted in variables().items()
        if wanted not in (None, shown.get(name))
    }
    assert wrong == {}
