"""The state of its own in which the demo and the simulated site run."""

import contextlib
import os
import sqlite3
import subprocess
import sys

import pytest

from config import throwaway


def test_a_fresh_home_is_empty_and_held(tmp_path):
    home = tmp_path / "demo-1"
    home.mkdir()
    (home / "left").write_text("by a former run")
    with throwaway.locked_home(home, fresh=True):
        assert list(home.iterdir()) == []
        with pytest.raises(throwaway.AlreadyRunning), throwaway.locked_home(home, fresh=True):
            pass
    with throwaway.locked_home(home, fresh=True):
        pass


def test_a_home_to_learn_in_again_is_left_as_it_was(tmp_path):
    home = tmp_path / "demo-1"
    with pytest.raises(throwaway.NoFormerRun), throwaway.locked_home(home, fresh=False):
        pass
    home.mkdir()
    (home / "left").write_text("by a former run")
    with throwaway.locked_home(home, fresh=False):
        assert (home / "left").exists()


def test_the_tables_of_an_older_run_are_brought_to_this_version(tmp_path, monkeypatch):
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "config.settings")
    older = [sys.executable, "manage.py", "migrate", "rlhf", "0003", "--verbosity", "0"]
    subprocess.run(older, env=dict(throwaway.environment(tmp_path)), check=True)
    assert "0004_leaks_left_out" not in migrations_of(tmp_path)
    throwaway.migrate(tmp_path)
    assert "0004_leaks_left_out" in migrations_of(tmp_path)


def migrations_of(home):
    with contextlib.closing(sqlite3.connect(home / "chamsae.sqlite3")) as database:
        return {name for (name,) in database.execute("select name from django_migrations where app = 'rlhf'")}


def test_the_base_model_is_linked_and_not_copied(tmp_path):
    source = tmp_path / "models/base"
    source.mkdir(parents=True)
    (source / "model.safetensors").write_bytes(b"weights")
    target = throwaway.link_policy(source, tmp_path / "demo-1/models")
    assert (target / "model.safetensors").samefile(source / "model.safetensors")


def test_what_leads_to_the_site_s_state_is_not_handed_on(tmp_path, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgres://somewhere/else")
    environment = throwaway.environment(tmp_path, CHAMSAE_GATE_FIRST_SENTENCE_MARGIN="-0.25")
    assert "DATABASE_URL" not in environment
    assert environment["CHAMSAE_HOME"] == str(tmp_path)
    assert environment["PATH"] == os.environ["PATH"]
    assert environment["CHAMSAE_GATE_FIRST_SENTENCE_MARGIN"] == "-0.25"
    monkeypatch.setenv("CHAMSAE_GATE_FIRST_SENTENCE_MARGIN", "0.1")
    environment = throwaway.environment(tmp_path, CHAMSAE_GATE_FIRST_SENTENCE_MARGIN="-0.25")
    assert environment["CHAMSAE_GATE_FIRST_SENTENCE_MARGIN"] == "0.1"


@pytest.mark.parametrize(("again", "code"), [(False, 0), (False, 3), (True, 0)])
def test_the_command_that_was_called_runs_there_with_the_same_words(tmp_path, monkeypatch, again, code):
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "config.settings")
    base, home = tmp_path / "models/base", tmp_path / "demo-1"
    base.mkdir(parents=True)
    (base / "model.safetensors").write_bytes(b"weights")
    if again:
        home.mkdir()
    program = tmp_path / "program.py"
    program.write_text(
        "import os, pathlib, sys\n"
        "told = ' '.join([*sys.argv[1:], os.environ['TOLD']])\n"
        "pathlib.Path(os.environ['CHAMSAE_HOME'], 'told').write_text(told)\n"
        f"sys.exit({code})\n"
    )
    monkeypatch.setattr(sys, "argv", [str(program), "--seed", "1"])
    assert throwaway.run_this_command(home, base, again=again, TOLD="yes") == code
    assert (home / "told").read_text() == "--seed 1 --here yes"
    assert (home / "models/base").exists() != again
