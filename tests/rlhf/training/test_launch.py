"""What the launcher takes of accelerate's files, and what it refuses with the reason."""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rlhf.training import launch, processes, run
from rlhf.training.hyperparameters import BadHyperparameter
from rlhf.training.launch import BadLaunch, Launch, SharedStage
from rlhf.training.model import choice
from rlhf.training.model.choice import Placement
from rlhf.training.run import RunDirectory


def accelerate_file(path: Path, **changes: Any) -> Path:
    made = {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": "MULTI_GPU",
        "mixed_precision": "no",
        "debug": False,
        "use_cpu": False,
        "num_processes": 4,
        **changes,
    }
    path.write_text(json.dumps(made))  # JSON is YAML, too
    return path


@pytest.mark.parametrize(
    ("changes", "wanted", "told"),
    [
        ({}, Launch(4, False, False, ""), (4, False)),
        ({"gpu_ids": "0,2"}, Launch(4, False, False, "0,2"), (4, False)),
        ({"distributed_type": "MULTI_CPU", "use_cpu": True}, Launch(4, False, True, ""), (4, False)),
        (
            {"distributed_type": "FSDP", "fsdp_config": {"fsdp_version": 2}},
            Launch(4, True, False, ""),
            (4, True),
        ),
        ({"distributed_type": "MULTI_CPU"}, Launch(4, False, True, ""), (4, False)),
        ({"distributed_type": "NO", "num_processes": 1}, Launch(1, False, False, ""), (1, False)),
    ],
)
def test_a_file_says_how_many_processes_and_by_what(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    wanted: Launch,
    told: tuple[int, bool],
) -> None:
    path = accelerate_file(tmp_path / "accelerate.yaml", **changes)
    assert Launch.read(path) == wanted
    assert launch.main(["--config", str(path)]) == run.DONE
    assert json.loads(capsys.readouterr().out) == {"processes": told[0], "shards_base": told[1]}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"distributed_type": "DEEPSPEED"}, "DEEPSPEED is not there"),
        ({"distributed_type": "FSDP", "fsdp_config": {"fsdp_version": 1}}, "fsdp_version: 2"),
        ({"distributed_type": "FSDP"}, "fsdp_version: 2"),
        ({"num_machines": 2}, "on one machine"),
        ({"num_processes": 0}, "at least 1"),
        ({"num_procesess": 2}, "cannot be read"),
        ({"num_processes": "all"}, "cannot be read"),
        ({"num_machines": "one"}, "cannot be read"),
        ({"distributed_type": "FSDP", "fsdp_config": {"fsdp_version": "two"}}, "cannot be read"),
        ({"distributed_type": "FSDP", "fsdp_config": "full"}, "cannot be read"),
    ],
)
def test_what_is_not_there_is_refused(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadLaunch, match=reason):
        Launch.read(accelerate_file(tmp_path / "accelerate.yaml", **changes))


@pytest.mark.parametrize("text", ["", "- a list", "{", "\0"])
def test_a_file_that_is_none_of_accelerates_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    path = tmp_path / "accelerate.yaml"
    path.write_text(text)
    assert launch.main(["--config", str(path)]) == run.FAILED
    assert str(path) in capsys.readouterr().out


def test_a_run_without_a_readable_file_fails_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert launch.main(["--config", str(tmp_path / "none.yaml"), "reward_model", str(tmp_path)]) == run.FAILED
    error = json.loads((tmp_path / "error.json").read_text())
    assert error["code"] == "bad_launch"
    assert "none.yaml" in error["message"]


@pytest.mark.parametrize(
    ("stage", "config", "wanted"),
    [
        ("reward_model", {}, True),
        ("policy", {"algorithm": "ppo"}, True),
        ("policy", {"algorithm": "sft"}, True),
        ("policy", {"algorithm": "rloo"}, False),
        ("fine_tune", {"method": "dpo"}, True),
        ("fine_tune", {"method": "reinforcement"}, False),
        ("judge", {}, True),
        ("evaluate", {}, False),
        ("fetch", {}, False),
    ],
)
def test_which_stages_several_processes_share(stage: str, config: dict[str, str], wanted: bool) -> None:
    assert launch.is_shared(stage, config) is wanted


@pytest.mark.parametrize(("stage", "count"), [("evaluate", 4), ("reward_model", 1)])
def test_a_stage_for_one_process_replaces_the_launcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, count: int
) -> None:
    (tmp_path / "config.json").write_text("{}")
    seen: list[list[str]] = []

    def replace(path: str, command: list[str], environment: dict[str, str]) -> None:
        seen.append(command)
        assert environment[processes.LAUNCHER] == "accelerate"
        assert "WORLD_SIZE" not in environment
        raise SystemExit

    monkeypatch.setattr("os.execve", replace)
    path = accelerate_file(tmp_path / "accelerate.yaml", num_processes=count)
    with pytest.raises(SystemExit):
        launch.main(["--config", str(path), stage, str(tmp_path)])
    assert seen == [[sys.executable, "-m", "rlhf.training", stage, str(tmp_path)]]


Share = Callable[..., SharedStage]


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Share]:
    """Starts a process for each script that it is given, on the run directory `tmp_path`."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    (tmp_path / "config.json").write_text("{}")
    command = [sys.executable, "-c", "import os, sys; exec(sys.argv[1 + int(os.environ['RANK'])])"]

    def start(*scripts: str) -> SharedStage:
        return SharedStage([*command, *scripts], Launch(len(scripts), False, True, ""), RunDirectory(tmp_path))

    yield start
    for number, handler in handlers.items():
        signal.signal(number, handler)


WRITES = """
import signal, time
from pathlib import Path
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while not Path("other").exists():
    time.sleep(0.02)
time.sleep(1)
Path("checkpoint").touch()
sys.exit(CODE)
"""


def test_a_process_that_writes_while_the_others_have_stopped_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: Share
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launch, "GRACE_S", 0.0)
    stops = "open('other', 'w'); sys.exit(75)"
    assert share(WRITES.replace("CODE", "75"), stops).wait() == run.STOPPED
    assert (tmp_path / "checkpoint").exists()


@pytest.mark.parametrize("codes", [(75, 1), (1, 75)])
def test_one_that_fails_while_the_others_stop_has_failed_for_all(share: Share, codes: tuple[int, int]) -> None:
    assert share(*(f"sys.exit({code})" for code in codes)).wait() == run.FAILED


def test_what_an_earlier_start_left_is_removed_before_any_process_can_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: Share
) -> None:
    for name in ("result.json", "error.json"):
        (tmp_path / name).write_text("{}")
    monkeypatch.setattr("subprocess.Popen", lambda *a, **k: pytest.fail("not yet") if left() else None)

    def left() -> bool:
        return (tmp_path / "error.json").exists() or (tmp_path / "result.json").exists()

    share("", "")
    assert not left()


def test_a_base_is_divided_by_transformers_alone(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "shards_base", lambda: True)
    assert choice.choose(tiny, Placement()) == choice.LIBRARY
    with pytest.raises(BadHyperparameter, match="FSDP"):
        choice.choose(tiny, Placement(backend="llama"))
    with pytest.raises(BadHyperparameter, match="FSDP"):
        choice.choose(tiny, Placement(bits=8))


def test_accelerators_are_left_alone_where_the_file_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.accelerator.is_available", lambda: True)
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda: type("Device", (), {"type": "cuda"}))
    assert [Placement(device=one).real_device for one in ("auto", "cuda:1")] == ["cuda", "cuda:1"]
    monkeypatch.setenv(processes.CPU, "true")
    assert [Placement(device=one).real_device for one in ("auto", "cuda:1")] == ["cpu", "cpu"]


def test_several_processes_are_not_put_on_one_card(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Placement.read({"device": "cuda:1"}).real_device == "cuda:1"
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert Placement.read({"device": "cuda"}).real_device == "cuda"
    with pytest.raises(BadHyperparameter, match="leave the number out"):
        Placement.read({"device": "cuda:1"})


@pytest.mark.parametrize(("can", "wanted"), [(True, (None, None)), (False, ("1", "0"))])
def test_cards_whose_driver_cannot_let_them_talk_directly_do_not(
    monkeypatch: pytest.MonkeyPatch, share: Share, can: bool, wanted: tuple[str | None, str | None]
) -> None:
    started: list[dict[str, str]] = []
    monkeypatch.setattr("accelerate.utils.check_cuda_p2p_ib_support", lambda: can)
    monkeypatch.setattr("subprocess.Popen", lambda command, env, **options: started.append(env))
    monkeypatch.delenv("NCCL_P2P_DISABLE", raising=False)
    monkeypatch.delenv("NCCL_IB_DISABLE", raising=False)
    if not can:
        monkeypatch.setenv("NCCL_IB_DISABLE", "0")  # a setting of one's own
    share("", "")
    assert [(env.get("NCCL_P2P_DISABLE"), env.get("NCCL_IB_DISABLE")) for env in started] == [wanted, wanted]


@pytest.mark.parametrize(("number", "count"), [(7, 2), (1, 2), (5, 5), (8, 3), (0, 2)])
def test_every_row_is_one_processs(monkeypatch: pytest.MonkeyPatch, number: int, count: int) -> None:
    monkeypatch.setattr(processes, "count", lambda: count)
    blocks, shares = [], []
    for rank in range(count):
        monkeypatch.setattr(processes, "rank", lambda rank=rank: rank)
        blocks += list(range(number))[processes.block(number)]
        shares += processes.share(range(number))
    assert blocks == list(range(number))
    assert sorted(shares) == list(range(number))


def test_a_job_of_a_cluster_sees_the_cards_that_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    launch = Launch(4, False, False, "0,2")
    assert launch.environment()["CUDA_VISIBLE_DEVICES"] == "0,2"
    monkeypatch.setenv("CHAMSAE_LAUNCHED_BY", "ray")
    assert "CUDA_VISIBLE_DEVICES" not in launch.environment()
