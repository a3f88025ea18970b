"""A run's directory and the process on it: exit codes, the two ways of being told to stop, what is left behind."""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rlhf.training import run
from rlhf.training.run import BadConfig, RunDirectory, Stopped


def directory(path: Path, **config: object) -> RunDirectory:
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps(config))
    return RunDirectory(path)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def test_metrics_are_appended_as_they_come_with_the_time_left(tmp_path: Path) -> None:
    found = directory(tmp_path)
    found.started -= 10
    found.report(1, 5, {"loss": 1.5})
    found.report(2, 5, {"loss": math.nan, "n": 3})
    one, two = lines(tmp_path)
    assert (one["step"], one["steps"], one["values"]) == (1, 5, {"loss": 1.5})
    assert one["seconds_left"] == pytest.approx(40, abs=1)
    assert two["seconds_left"] == pytest.approx(15, abs=1)
    assert two["values"] == {"loss": None, "n": 3}


def test_time_left_of_a_resumed_run_counts_from_where_it_resumed(tmp_path: Path) -> None:
    found = directory(tmp_path)
    found.started -= 10
    found.report(91, 100, {})
    assert lines(tmp_path)[0]["seconds_left"] == pytest.approx(90, abs=5)


def test_a_result_says_how_long_and_how_much_memory(tmp_path: Path) -> None:
    assert run.execute(lambda d: {"x": 1, "bad": math.inf}, directory(tmp_path).path) == run.DONE
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["x"], result["bad"]) == (1, None)
    assert result["peak_memory_mb"] > 10
    assert result["seconds"] >= 0


def test_an_error_leaves_its_name_and_words_and_no_result(tmp_path: Path) -> None:
    def stage(found: RunDirectory) -> dict:
        return {"never": found["base"]}

    (tmp_path / "result.json").write_text("{}")
    assert run.execute(stage, directory(tmp_path).path) == run.FAILED
    error = json.loads((tmp_path / "error.json").read_text())
    assert error["code"] == "bad_config"
    assert "'base'" in error["message"]
    assert not (tmp_path / "result.json").exists()


def test_a_stop_keeps_the_checkpoint_and_an_end_removes_it(tmp_path: Path) -> None:
    def stage(found: RunDirectory) -> dict:
        found.checkpoint.mkdir(exist_ok=True)
        found.stop_if_asked()
        return {}

    def stopped(found: RunDirectory) -> dict:
        found.stop()
        return stage(found)

    assert run.execute(stopped, directory(tmp_path).path) == run.STOPPED
    assert (tmp_path / "checkpoint").exists()
    assert not (tmp_path / "result.json").exists()
    assert run.execute(stage, tmp_path) == run.DONE
    assert not (tmp_path / "checkpoint").exists()


def test_without_a_configuration_it_fails(tmp_path: Path) -> None:
    with pytest.raises(BadConfig):
        RunDirectory(tmp_path)
    assert run.execute(lambda d: {}, tmp_path) == run.FAILED
    assert json.loads((tmp_path / "error.json").read_text())["code"] == "bad_config"


WAITING = """
import sys, time
from pathlib import Path
from rlhf.training import run
def stage(directory):
    directory.report(1, 2, {})
    print("reported", flush=True)
    while True:
        directory.stop_if_asked()
        time.sleep(0.02)
sys.exit(run.execute(stage, Path(sys.argv[1])))
"""


@pytest.mark.parametrize("how", ["SIGTERM", "end of stdin"])
def test_a_process_stops_when_told_and_when_its_parent_is_gone(tmp_path: Path, how: str) -> None:
    directory(tmp_path)
    command = [sys.executable, "-c", WAITING, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"reported\n"
        if how == "SIGTERM":
            process.send_signal(signal.SIGTERM)
        else:
            process.stdin.close()
        assert process.wait(30) == run.STOPPED


def test_the_command_knows_its_stages(tmp_path: Path, tiny: Path) -> None:
    directory(tmp_path, source=str(tiny / "policy.gguf"), output=str(tmp_path / "p"))
    command = [sys.executable, "-m", "rlhf.training"]
    done = subprocess.run([*command, "fetch", str(tmp_path)], stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0
    assert json.loads((tmp_path / "result.json").read_text())["cached"] is False
    wrong = subprocess.run([*command, "nonsense", "x"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "reward_model" in wrong.stderr


def test_errors_have_codes() -> None:
    assert run.error_code(Stopped()) == "stopped"
    assert run.error_code(BadConfig(Path(), "")) == "bad_config"
    assert os.environ["OMP_NUM_THREADS"] == "1"
