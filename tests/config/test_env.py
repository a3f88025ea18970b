"""Readers of the environment: what is absent takes its default, what is wrong stops the start under its name."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from config import env

NAME = "CHAMSAE_TEST_VALUE"


@pytest.fixture
def given(monkeypatch):
    return lambda value: monkeypatch.setenv(NAME, value)


@pytest.mark.parametrize(
    ("value", "wanted"), [("1", True), ("Yes", True), (" on ", True), ("0", False), ("no", False), ("", True)]
)
def test_flags(given, value, wanted):
    given(value)
    assert env.flag(NAME, default=True) is wanted


def test_what_is_absent_takes_its_default():
    assert env.text(NAME, "a") == "a"
    assert env.flag(NAME) is False
    assert env.integer(NAME, 3) == 3
    assert env.number(NAME, 0.5) == 0.5
    assert env.words(NAME, "a, b,,") == ["a", "b"]
    assert env.one_of(NAME, "x", ("x", "y")) == "x"
    assert env.folder(NAME, Path("/tmp")) == Path("/tmp")


@pytest.mark.parametrize(
    ("read", "value", "wanted"),
    [
        (lambda: env.flag(NAME), "maybe", "1 or 0"),
        (lambda: env.integer(NAME, 1), "many", "a whole number"),
        (lambda: env.integer(NAME, 1, minimum=1), "0", "at least 1"),
        (lambda: env.number(NAME, 1.0), "warm", "a number"),
        (lambda: env.number(NAME, 1.0, 0.0, 2.0), "2.5", "a number from 0.0 to 2.0"),
        (lambda: env.number(NAME, 1.0, 0.0, 2.0), "nan", "a number from 0.0 to 2.0"),
        (lambda: env.niceness(NAME, "idle"), "-5", "idle, or a niceness from 0 to 19"),
        (lambda: env.one_of(NAME, "x", ("x", "y")), "z", "one of x, y"),
        (lambda: env.servers(NAME), "localhost:8000/v1", "http://HOST:PORT/v1"),
        (lambda: env.servers(NAME), "http://host:80OO/v1", "http://HOST:PORT/v1"),
        (lambda: env.servers(NAME), "http://host:80000/v1", "http://HOST:PORT/v1"),
        (lambda: env.servers(NAME), "http:///v1", "http://HOST:PORT/v1"),
    ],
)
def test_what_is_wrong_is_named_with_its_value(given, read, value, wanted):
    given(value)
    with pytest.raises(env.BadSetting) as error:
        read()
    assert str(error.value) == f"{NAME}='{value}': expected {wanted}"


def test_what_servers_are_told_of_are_addresses_and_a_key_for_a_header(given):
    given("http://one:8000/v1, https://two.example/v1")
    assert env.servers(NAME) == ["http://one:8000/v1", "https://two.example/v1"]
    given("http://ann:of-ann@one:port/v1")
    with pytest.raises(env.BadSetting) as error:
        env.servers(NAME)
    assert "of-ann" not in str(error.value)
    given("sk-1_a b")
    assert env.key(NAME) == "sk-1_a b"
    for value in ("열쇠", "a\nb"):
        given(value)
        with pytest.raises(env.BadSetting, match="ASCII") as error:
            env.key(NAME)
        assert value not in str(error.value)


@pytest.mark.parametrize(("value", "wanted"), [("", None), ("idle", None), ("0", 0), (" 7 ", 7), ("30", 19)])
def test_a_niceness_is_a_number_or_idle(given, value, wanted):
    given(value)
    assert env.niceness(NAME, "idle") == wanted


def test_a_home_directory_may_begin_with_a_tilde(given):
    given("~/chamsae")
    assert env.folder(NAME, Path("/")) == Path.home() / "chamsae"


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [("CHAMSAE_TEMPERATURE", "hot", "a number"), ("CHAMSAE_ROLLOUT_URL", "host:80/v1", "http://HOST:PORT/v1")],
)
def test_a_bad_variable_stops_the_start_with_one_clear_line(name, value, wanted):
    environment = {**os.environ, name: value}
    done = subprocess.run(
        [sys.executable, "-c", "import config.settings"], env=environment, capture_output=True, text=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].endswith(f"{name}='{value}': expected {wanted}")
