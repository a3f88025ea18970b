"""A run's directory and the process on it: exit codes, the two ways of being told to stop, what is left behind."""

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import distributed

from rlhf.training import processes, run
from rlhf.training.launch import Launch, SharedStage
from rlhf.training.run import BadConfig, ComputedOtherwise, RunDirectory, Stopped


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


def computed_otherwise(found: RunDirectory) -> dict:
    raise ComputedOtherwise("dtype", "bf16", "fp32")


def test_only_a_failure_that_no_setting_mends_removes_what_was_computed(tmp_path: Path) -> None:
    found = directory(tmp_path)
    found.states.mkdir()
    assert run.execute(computed_otherwise, found.path) == run.FAILED
    assert json.loads((tmp_path / "error.json").read_text())["code"] == "computed_otherwise"
    assert found.states.exists()
    assert run.execute(lambda d: {"never": d["base"]}, found.path) == run.FAILED
    assert not found.states.exists()


@pytest.mark.parametrize(
    ("error", "kept"), [('{"code": "computed_otherwise"}', True), ('{"code": "not_finite"}', False)]
)
def test_of_several_processes_that_failed_it_is_the_same(tmp_path: Path, error: str, kept: bool) -> None:
    found = directory(tmp_path)
    found.states.mkdir()
    script = f"import pathlib; pathlib.Path({str(tmp_path / 'error.json')!r}).write_text({error!r}); exit(1)"
    failing = [sys.executable, "-c", script]
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        assert SharedStage(failing, Launch(1, False, True, ""), found).wait() == run.FAILED
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert found.states.exists() is kept


@pytest.fixture
def group() -> Iterator[None]:
    """A group of processes, of which this is the only one."""
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    if distributed.is_initialized():
        distributed.destroy_process_group()


@pytest.mark.parametrize("ends_as", [run.DONE, run.STOPPED])
def test_a_process_leaves_its_group_before_it_exits(tmp_path: Path, group: None, ends_as: int) -> None:
    def stage(found: RunDirectory) -> dict:
        assert distributed.is_initialized()
        if ends_as == run.STOPPED:
            raise Stopped
        return {}

    assert run.execute(stage, directory(tmp_path).path) == ends_as
    assert not distributed.is_initialized()


def test_a_process_that_stops_waits_for_the_one_that_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(processes, "wait_for_all", lambda: seen.append("waited"))
    monkeypatch.setattr(processes, "leave", lambda: seen.append("left"))

    def stage(found: RunDirectory) -> dict:
        raise Stopped

    assert run.execute(stage, directory(tmp_path).path) == run.STOPPED
    assert seen == ["waited", "left"]


def test_of_several_processes_none_removes_what_is_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def join(device: str) -> None:
        raise RuntimeError("the others aren't there")

    (tmp_path / "error.json").write_text('{"code": "of_another_process"}')
    found = directory(tmp_path)
    found.states.mkdir()
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(processes, "join", join)
    assert run.execute(lambda d: {}, tmp_path) == run.FAILED
    assert json.loads((tmp_path / "error.json").read_text())["code"] == "of_another_process"
    assert found.states.exists()


ENDING = """
import atexit, sys
from rlhf.training import __main__ as training
atexit.register(print, "taken apart", flush=True)
print("said")
training.end(int(sys.argv[1]))
"""


@pytest.mark.parametrize(
    ("count", "code", "said"),
    [
        (1, run.FAILED, "said\ntaken apart\n"),
        (2, run.FAILED, "said\n"),
        (2, run.DONE, "said\n"),
    ],
)
def test_one_of_several_processes_ends_at_once(count: int, code: int, said: str) -> None:
    command = [sys.executable, "-c", ENDING, str(code)]
    environment = {**os.environ, "WORLD_SIZE": str(count)}
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env=environment)
    assert (ended.returncode, ended.stdout) == (code, said)


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
