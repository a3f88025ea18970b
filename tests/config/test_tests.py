"""The suite keeps to itself: it never touches the state of a real site."""

import os
import tempfile
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection


def test_the_state_is_a_directory_of_this_process_alone():
    assert settings.HOME.is_relative_to(Path(tempfile.gettempdir()).resolve())
    assert settings.HOME.name == os.environ.get("PYTEST_XDIST_WORKER", "main")
    assert os.environ["CHAMSAE_HOME"] == str(settings.HOME)


@pytest.mark.django_db
def test_the_embedded_database_is_a_file_under_it():
    if connection.vendor != "sqlite":
        pytest.skip("runs on " + connection.display_name)
    assert Path(connection.settings_dict["NAME"]).parent == settings.HOME
