"""Two processes, joined by accelerate over gloo, train as one does: step by step the same losses."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rlhf.training import run
from tests.rlhf.training.shared_trainings import CHILD_STAGES, REWARD_MODEL, STEPS, Trainings, train

pytestmark = [pytest.mark.loops, pytest.mark.timeout(600)]

CLOSE = 1e-4
DDP = {"distributed_type": "MULTI_CPU"}
FSDP = {"distributed_type": "FSDP", "fsdp_config": {"fsdp_version": 2}}


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Trainings:
    made = Trainings(tmp_path_factory.mktemp("trainings"), tiny)
    judge = made.configured("reward_model", "judge", "llama", output=str(made.reward_model))
    train(judge, "reward_model")
    return made


def launch(path: Path, stage: str, way: Mapping[str, Any], *before: str) -> int:
    """The exit code of two processes. `before`: arguments of the ones that die."""
    config = path.parent / f"{path.name}.json"
    settings = {"compute_environment": "LOCAL_MACHINE", "num_processes": 2, "use_cpu": True, **way}
    config.write_text(json.dumps({"mixed_precision": "no", "debug": False, **settings}))
    module = ["rlhf.training.launch", "--config"] if not before else ["tests.rlhf.training.dying_process", "--launch"]
    command = [sys.executable, "-m", *module, str(config), *before, CHILD_STAGES[stage], str(path)]
    with (path / "log.txt").open("ab") as log:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        ).returncode


def metrics(path: Path) -> dict[int, dict[str, float]]:
    """By step, without what is the machine's; a resumed run repeats steps."""
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return {
        line["step"]: {
            name: value
            for name, value in line["values"].items()
            if not name.startswith(("seconds", "memory")) and not name.endswith("per_second")
        }
        for line in lines
        if line["step"]
    }


def assert_alike(one: Path, other: Path) -> None:
    ours, theirs = metrics(one), metrics(other)
    assert len(ours) >= STEPS
    assert ours.keys() == theirs.keys()
    for step, values in ours.items():
        assert theirs[step] == pytest.approx(values, abs=CLOSE, rel=CLOSE, nan_ok=True), step


@pytest.mark.parametrize(
    ("stage", "backend"),
    [
        ("reward_model", "llama"),
        ("judge", "llama"),
        ("sft", "llama"),
        ("ppo", "llama"),
        ("fine_tune", "transformers"),
    ],
)
def test_two_processes_train_as_one(trainings: Trainings, stage: str, backend: str) -> None:
    """A fine-tune under transformers, since our Llama computes those in bf16."""
    path = trainings.configured(stage, f"{stage}-ddp", backend)
    assert launch(path, stage, DDP) == run.DONE, (path / "log.txt").read_text()
    assert_alike(trainings.alone(stage, backend), path)
    result = json.loads((path / "result.json").read_text())
    assert (result["launcher"], result["processes"], result["sharing"]) == ("accelerate", 2, "ddp")


@pytest.mark.parametrize("stage", ["reward_model", "sft", "ppo"])
def test_two_processes_that_divide_the_base_train_as_one(trainings: Trainings, stage: str) -> None:
    path = trainings.configured(stage, f"{stage}-fsdp", "auto")
    assert launch(path, stage, FSDP) == run.DONE, (path / "log.txt").read_text()
    assert_alike(trainings.alone(stage, "transformers"), path)
    result = json.loads((path / "result.json").read_text())
    assert (result["backend"], result["processes"], result["sharing"]) == ("transformers", 2, "fsdp2")


def test_what_two_processes_began_that_divide_the_base_goes_on_with_one(trainings: Trainings) -> None:
    path = trainings.configured("sft", "sft-fsdp-killed", "auto")
    assert launch(path, "sft", FSDP, "13") == -signal.SIGKILL, (path / "log.txt").read_text()
    train(path, "sft")
    assert_alike(trainings.alone("sft", "transformers"), path)
    assert json.loads((path / "result.json").read_text())["backend"] == "transformers"


@pytest.mark.parametrize(("stage", "step"), [("reward_model", 9), ("judge", 15), ("sft", 13), ("ppo", 8)])
def test_a_run_killed_with_two_processes_goes_on_with_one(
    trainings: Trainings, caplog: pytest.LogCaptureFixture, stage: str, step: int
) -> None:
    path = trainings.configured(stage, f"{stage}-killed", "llama")
    assert launch(path, stage, DDP, str(step)) == -signal.SIGKILL, (path / "log.txt").read_text()
    reached = metrics(path)
    assert step - 1 <= max(reached) <= step
    assert (path / "checkpoint").exists()
    assert not (path / "error.json").exists()
    assert (path / "states").exists() == (stage in ("reward_model", "judge"))  # which it goes on with
    with caplog.at_level(logging.INFO):
        train(path, stage)
    assert [int(step) for step in re.findall(r"goes on from .*\D(\d+)\n", caplog.text) if int(step)], caplog.text
    assert_alike(trainings.alone(stage, "llama"), path)


def test_a_failure_of_two_processes_leaves_its_reason_alone(trainings: Trainings) -> None:
    path = trainings.configured("reward_model", "failing", "llama", hyperparameters=REWARD_MODEL | {"alpha": 1e38})
    assert launch(path, "reward_model", DDP) == run.FAILED, (path / "log.txt").read_text()
    error = json.loads((path / "error.json").read_text())
    assert error["code"] == "runtime_error"
    assert "non-finite" in error["message"]
    assert not (path / "states").exists()
    assert not (path / "result.json").exists()
