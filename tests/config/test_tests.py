"""The suite keeps to itself: it never touches the state of a real site, and its files do not import each other."""

import ast
import os
import tempfile
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

TESTS = Path(__file__).parents[1]


def test_the_state_is_a_directory_of_this_process_alone():
    assert settings.HOME.is_relative_to(Path(tempfile.gettempdir()).resolve())
    assert settings.HOME.name == os.environ.get("PYTEST_XDIST_WORKER", "main")
    assert os.environ["CHAMSAE_HOME"] == str(settings.HOME)


@pytest.mark.django_db
def test_the_embedded_database_is_a_file_under_it():
    if connection.vendor != "sqlite":
        pytest.skip("runs on " + connection.display_name)
    assert Path(connection.settings_dict["NAME"]).parent == settings.HOME


def imported_by(tree):
    """Dotted names that a module imports at any depth; of `from a import b` both `a` and `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_tests_or_conftest(name):
    first, *inner = name.split(".")
    return first == "tests" and any(part.startswith("test_") or part == "conftest" for part in inner)


def test_helpers_that_tests_share_are_in_modules_of_their_own():
    """Whoever renames or moves a test then breaks no other."""
    found = {
        (str(path.relative_to(TESTS)), name)
        for path in sorted(TESTS.rglob("*.py"))
        for name in imported_by(ast.parse(path.read_bytes()))
        if is_tests_or_conftest(name)
    }
    assert sorted(found) == []
