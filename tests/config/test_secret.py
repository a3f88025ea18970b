"""The secret key: made once even when many processes start at the same time, and read by its owner alone."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from config.env import BadSetting
from config.secret import secret_key

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _no_key_in_the_environment(monkeypatch):
    monkeypatch.delenv("CHAMSAE_SECRET_KEY", raising=False)


def test_processes_that_start_together_agree_on_one_key(tmp_path):
    program = (
        f"from pathlib import Path; from config.secret import secret_key; print(secret_key(Path({str(tmp_path)!r})))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    keys = {process.communicate(timeout=30)[0] for process in started}
    assert len(keys) == 1
    assert len(keys.pop().strip()) >= 50
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]


def test_only_the_owner_can_read_it(tmp_path):
    secret_key(tmp_path)
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600


def test_it_stays_the_same(tmp_path):
    assert secret_key(tmp_path) == secret_key(tmp_path)


def test_one_from_the_environment_comes_first_and_must_be_long(tmp_path, monkeypatch):
    monkeypatch.setenv("CHAMSAE_SECRET_KEY", "k" * 40)
    assert secret_key(tmp_path) == "k" * 40
    monkeypatch.setenv("CHAMSAE_SECRET_KEY", "short")
    with pytest.raises(BadSetting, match="at least 40 characters") as error:
        secret_key(tmp_path)
    assert "short" not in str(error.value)
