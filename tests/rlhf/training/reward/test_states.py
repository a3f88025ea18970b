"""Trunk states on disk: the same numbers as in memory, each prompt once, resumed after a kill, damage found."""

import json
from pathlib import Path

import pytest
import torch

from rlhf.training.model.transformer import Transformer
from rlhf.training.reward import examples as examples_module
from rlhf.training.reward import states as states_module
from rlhf.training.reward.examples import trunk_states
from rlhf.training.reward.features import EncodedReply
from rlhf.training.reward.liveness import Liveness
from rlhf.training.reward.states import Layout, NoRoomForStates, states_on_disk
from rlhf.training.run import RunDirectory, Stopped
from tests.rlhf.training.core_tiny import tiny_llama

PROMPTS = ((3, 4, 5, 6), (7, 8))
ROWS = [
    EncodedReply((*prompt, *reply), len(prompt))
    for prompt in PROMPTS
    for reply in ((9, 10, 2), (), (11, 12, 13, 14, 2), (15,))
]
WIDTH = 24


@pytest.fixture
def transformer(tmp_path: Path) -> Transformer:
    return tiny_llama(tmp_path / "base")


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (states_module, examples_module):
        monkeypatch.setattr(module, "BATCH_TOKENS", 12)


def alone(transformer: Transformer, row: EncodedReply) -> torch.Tensor:
    return transformer.run_trunk(torch.tensor([list(row.ids)]))[0]


def test_what_is_read_is_what_each_reply_alone_gives(transformer: Transformer, tmp_path: Path) -> None:
    found = states_on_disk(transformer, ROWS, 0, tmp_path / "states")
    assert len(found) == len(ROWS)
    for item, row in enumerate(ROWS):
        torch.testing.assert_close(found[item], alone(transformer, row), atol=1e-5, rtol=1e-4)


def test_a_prompt_of_many_replies_is_stored_once(transformer: Transformer, tmp_path: Path) -> None:
    states_on_disk(transformer, ROWS, 0, tmp_path / "states")
    tokens = sum(map(len, PROMPTS)) + sum(row.length - row.prompt_length for row in ROWS)
    assert (tmp_path / "states" / "states").stat().st_size == tokens * WIDTH * 4
    assert Layout.of(ROWS).tokens == tokens


def test_half_precision_takes_half_the_room(transformer: Transformer, tmp_path: Path) -> None:
    whole = states_on_disk(transformer, ROWS, 0, tmp_path / "whole")
    half = states_on_disk(transformer, ROWS, 0, tmp_path / "half", stored=torch.bfloat16)
    sizes = [(tmp_path / name / "states").stat().st_size for name in ("whole", "half")]
    assert sizes[0] == 2 * sizes[1]
    assert torch.equal(half[2], whole[2].bfloat16().float())


class Killed(BaseException):
    pass


@pytest.mark.parametrize("after", range(5))
def test_a_killed_computation_goes_on_where_it_was(
    transformer: Transformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    whole = states_on_disk(transformer, ROWS, 0, tmp_path / "whole")
    batches = len(Layout.of(ROWS).batches)
    assert batches >= 4
    calls: list[int] = []

    def progress(done: int, of: int) -> None:
        if len(calls) == after:
            raise Killed
        calls.append(done)

    with pytest.raises(Killed):
        states_on_disk(transformer, ROWS, 0, tmp_path / "torn", progress)
    with (tmp_path / "torn" / "states").open("ab") as file:
        file.write(b"half a batch")
    runs: list[int] = []
    real = transformer.run_trunk
    monkeypatch.setattr(transformer, "run_trunk", lambda ids: (runs.append(1), real(ids))[1])
    found = states_on_disk(transformer, ROWS, 0, tmp_path / "torn")
    assert len(runs) == batches - after
    assert all(torch.equal(found[i], whole[i]) for i in range(len(ROWS)))


def test_damage_is_found_and_computed_again(transformer: Transformer, tmp_path: Path) -> None:
    folder = tmp_path / "states"
    before = [states_on_disk(transformer, ROWS, 0, folder)[item].clone() for item in range(len(ROWS))]
    with (folder / "states").open("r+b") as file:
        file.seek(3 * WIDTH * 4)
        file.write(b"\xff" * 8)
    found = states_on_disk(transformer, ROWS, 0, folder)
    assert all(torch.equal(found[item], before[item]) for item in range(len(ROWS)))


def test_states_of_other_replies_are_not_taken_for_these(transformer: Transformer, tmp_path: Path) -> None:
    states_on_disk(transformer, ROWS, 0, tmp_path / "states")
    other = [EncodedReply((*row.ids[:-1], 20), row.prompt_length) for row in ROWS]
    found = states_on_disk(transformer, other, 0, tmp_path / "states")
    torch.testing.assert_close(found[0], alone(transformer, other[0]), atol=1e-5, rtol=1e-4)


def test_a_disk_that_is_too_small_is_said_before_the_work(
    transformer: Transformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states_module.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 100})())
    with pytest.raises(NoRoomForStates, match="make room"):
        states_on_disk(transformer, ROWS, 0, tmp_path / "states")


def test_in_memory_and_on_disk_are_one_interface(transformer: Transformer, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    polls: list[int] = []
    here = trunk_states(transformer, ROWS, 0, lambda: polls.append(1))
    there = trunk_states(
        transformer, ROWS, 0, directory=tmp_path / "states", progress=lambda done, of: seen.append((done, of))
    )
    for item in range(len(ROWS)):
        torch.testing.assert_close(there[item], here[item], atol=1e-5, rtol=1e-4)
    assert polls
    assert seen[-1] == (len(ROWS), len(ROWS))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_long_pass_gives_a_sign_of_life_and_no_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text("{}")
    directory = RunDirectory(tmp_path)
    alive = Liveness(directory, "trunk states", trains_yet=False)
    alive(0, 3)
    assert not (tmp_path / "metrics.jsonl").exists()  # a short pass says nothing
    monkeypatch.setattr("rlhf.training.reward.liveness.PAUSE_S", 0.0)
    for done in (1, 2):
        alive(done, 3)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    told = [(line["step"], line["steps"], line["values"]) for line in lines]
    assert told == [(0, 0, {"replies": [1, 3]}), (0, 0, {"replies": [2, 3]})]
    directory.stop()
    with pytest.raises(Stopped):
        alive(3, 3)
