"""A judge's folds on a tiny model: what they learn from, how they resume, and the figures of what they say."""

import json
import random
import zlib
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from django.conf import settings

from rlhf.release.checks import judge as qualified
from rlhf.release.checks import wins
from rlhf.training.__main__ import main
from rlhf.training.artefacts import checkpoints
from rlhf.training.evaluation.cross_fitted import CrossFittedJudge
from rlhf.training.evaluation.judged import Replies, judge_replies
from rlhf.training.evaluation.judges import resolve
from rlhf.training.evaluation.players import Draw, DriftFromBase
from rlhf.training.evaluation.report import describe
from rlhf.training.reward import cross_fit
from rlhf.training.reward import model as reward_model
from rlhf.training.reward.fit import Trainer
from rlhf.training.reward.folds import Folds
from rlhf.training.reward.qualification import Judgements
from rlhf.training.run import DONE, RunDirectory, Stopped
from rlhf.training.snapshot.files import PlainReply, PromptRow, SnapshotFiles, freeze
from tests.rlhf.training.planted import seal, write_snapshot

LEVEL = 0.025
QUICK = {"adapted_layers": 2, "rank": 4, "epochs": 2, "min_labels": 2}


def change(folder: Path, name: str, edit) -> None:
    rows = [json.loads(line) for line in (folder / name).read_text().splitlines()]
    (folder / name).write_text("".join(json.dumps(edit(number, row)) + "\n" for number, row in enumerate(rows)))
    seal(folder)


def by_people(folder: Path, people: int) -> Path:
    """Each prompt has one person who judged it."""

    def edit(_number: int, row: dict) -> dict:
        return {**row, "annotator": f"person-{zlib.crc32(row['prompt'][0]['content'].encode()) % people}"}

    for name in ("rankings.jsonl", "violations.jsonl"):
        change(folder, name, edit)
    return folder


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return by_people(write_snapshot(tmp_path_factory.mktemp("folds") / "s", rankings=4, held_out=32), 4)


def run_directory(path: Path, tiny: Path, snapshot: Path, **changes: object) -> RunDirectory:
    path.mkdir(parents=True, exist_ok=True)
    config = {"base": str(tiny), "snapshot": str(snapshot), "output": str(path / "out"), "seed": 3}
    config |= {"splits": ["held_out"], "hyperparameters": QUICK | changes}
    (path / "config.json").write_text(json.dumps(config))
    return RunDirectory(path)


@pytest.fixture(scope="module")
def trained(tiny: Path, snapshot: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    directory = run_directory(tmp_path_factory.mktemp("judge"), tiny, snapshot)
    return directory.path, cross_fit.run(directory)


def test_a_judge_that_learnt_a_planted_taste_is_good_where_it_saw_nothing(trained: tuple[Path, dict]) -> None:
    _, result = trained
    assert (result["prompt_folds"], result["annotator_folds"]) == (4, 2)
    assert result["accuracy_low"] > 0.6
    assert result["accuracy_low"] <= result["accuracy"] <= result["accuracy_high"]
    assert result["slope_low"] > 0
    assert (result["people"], result["people_simulated"], result["groups"]) == (4, 4, 32)
    assert result["rule_auc"]["no-feelings"] > 0.8
    assert sum(b["n"] for b in result["reliability"].values()) == result["comparisons"] == result["pairs"]
    assert 0 <= result["ece"] < 0.25


def test_its_steps_are_one_run_s(trained: tuple[Path, dict]) -> None:
    lines = [json.loads(line) for line in (trained[0] / "metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines]
    assert all(one < other for one, other in pairwise(steps))
    assert {line["steps"] for line in lines} == {steps[-1]}


def test_one_directory_holds_all_folds_and_is_sealed(trained: tuple[Path, dict], tiny: Path) -> None:
    folder = trained[0] / "out"
    assert checkpoints.verify(folder)["base"] == str(tiny)
    assert sorted(path.name for path in folder.glob("fold-*")) == [
        f"fold-{p}-{a}" for p in range(4) for a in range(2)
    ]
    assert not [path for path in folder.rglob("*") if path.suffix not in (".safetensors", ".json", ".jsonl", "")]


def test_no_model_learnt_from_what_it_judged(
    tiny: Path, snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the texts: what the trainer of each fold was given against what was then judged."""
    given = []
    create = Trainer.__init__

    def watched(self, model, data, states, config, seed):  # type: ignore[no-untyped-def]
        given.append((set(data.prompts), states, data.rows))
        create(self, model, data, states, config, seed)

    monkeypatch.setattr(Trainer, "__init__", watched)
    directory = run_directory(tmp_path, tiny, snapshot, epochs=1)
    cross_fit.run(directory)
    folds = Folds.from_json(reward_model.read_config(tmp_path / "out")["folds"])
    held_out = [one for one in SnapshotFiles.load(snapshot).rankings if one.split == "held_out"]
    assert len(given) == len(folds.cells) == 8
    judged = 0
    for fold, (prompts, states, rows) in zip(folds.cells, given, strict=True):
        its = [one for one in held_out if folds.judges(fold, one.group, one.annotator)]
        learnt = [one for one in held_out if one.replies[0].prompt in prompts]
        assert not prompts & {one.replies[0].prompt for one in its}
        assert not {one.annotator for one in learnt} & {one.annotator for one in its}
        assert [len(state) for state in states] == [row.length for row in rows]
        judged += len(its)
    assert judged == len(held_out)


def test_random_labels_do_not_qualify(tiny: Path, tmp_path: Path) -> None:
    folder = by_people(write_snapshot(tmp_path / "s", rankings=2, held_out=32), 4)
    draw = random.Random(1)
    change(folder, "rankings.jsonl", lambda _, row: {**row, "ranks": draw.sample(range(1, 5), 4)})
    result = cross_fit.run(run_directory(tmp_path / "judge", tiny, folder))
    assert result["accuracy_low"] < 0.55
    assert result["slope_low"] < result["slope"] < result["slope_high"]
    assert "judge_accuracy" in refusals(tmp_path / "judge/out", tiny, folder, half)


def test_a_good_judge_lets_a_better_policy_pass(trained: tuple[Path, dict], tiny: Path, snapshot: Path) -> None:
    folder = trained[0] / "out"
    assert refusals(folder, tiny, snapshot, lambda text: text.replace("I feel", "It is")) == []
    assert refusals(folder, tiny, snapshot, lambda text: text) == ["win_rate", "first_sentence"]


def half(text: str) -> str:
    return " ".join(text.split()[: len(text.split()) // 2])


def refusals(judge: Path, tiny: Path, snapshot: Path, rewrite: Callable[[str], str]) -> list[str]:
    """What the gate says, of wins and of the judge, on a candidate that writes the ranked replies in another
    way."""
    held_out = [one for one in SnapshotFiles.load(snapshot).rankings if one.split == "held_out"]
    rows = [PromptRow(one.replies[0].prompt, "held_out", group=one.group) for one in held_out]
    before = [[Draw(reply, len(reply.text.split())) for reply in one.replies] for one in held_out]
    after = [[replace(one, reply=replace(one.reply, text=rewrite(one.reply.text))) for one in of] for of in before]
    still = [DriftFromBase(0.0, 1.0, 1)] * len(rows)
    replies = Replies(rows, after, before, [of_prompt[0] for of_prompt in before], still, still)
    by = resolve({"kind": "reward_model", "directory": str(judge)}, [tiny], {row.prompt: row.group for row in rows})
    report = describe(judge_replies(replies, by), draws=2, samples=0, seed=0) | {"level": LEVEL}
    limits = {**settings.GATE, "prompts_min": len(rows)}
    reasons = [*wins.check(report, None, limits), *qualified.check(report, None, limits)]
    return [reason.code for reason in reasons if not reason.holds]


class StopAfter:
    """Asks the stage to stop once so many steps were reported."""

    def __init__(self, directory: RunDirectory, steps: int) -> None:
        report = directory.report

        def counted(step: int, total: int, values: dict) -> None:
            report(step, total, values)
            if step >= steps:
                directory.stop()

        directory.report = counted  # type: ignore[method-assign]


def test_a_killed_stage_goes_on_and_trains_no_finished_fold_again(
    trained: tuple[Path, dict], tiny: Path, snapshot: Path, tmp_path: Path
) -> None:
    whole = Judgements.read([trained[0] / "out"])
    directory = run_directory(tmp_path, tiny, snapshot)
    StopAfter(directory, 20)
    with pytest.raises(Stopped):
        cross_fit.run(directory)
    done = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "checkpoint").glob("fold-*/heads.safetensors")}
    folders = {path.name for path in (tmp_path / "checkpoint").glob("fold-*")}
    assert 1 <= len(folders) < 8, done
    again = RunDirectory(tmp_path)
    first = len((tmp_path / "metrics.jsonl").read_text().splitlines())
    cross_fit.run(again)
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps[first] > 12 * len(folders) / 2 - 4
    assert Judgements.read([tmp_path / "out"]) == whole, "not what an undisturbed run would have made"


def test_one_person_is_one_fold_and_it_is_said(tiny: Path, tmp_path: Path) -> None:
    folder = write_snapshot(tmp_path / "s", rankings=2, held_out=8)
    directory = run_directory(tmp_path / "judge", tiny, folder, epochs=1).path
    assert main(["judge", str(directory)]) == DONE
    result = json.loads((directory / "result.json").read_text())
    assert (result["people"], result["annotator_folds"]) == (1, 1)
    assert not (directory / "checkpoint").exists()


def test_a_single_prompt_group_teaches_nothing_and_all_are_ties(tiny: Path, tmp_path: Path) -> None:
    folder = write_snapshot(tmp_path / "s", rankings=2, held_out=8)
    for name in ("rankings.jsonl", "violations.jsonl", "prompts.jsonl"):
        change(folder, name, lambda _, row: {**row, "group": "one"})
    result = cross_fit.run(run_directory(tmp_path / "judge", tiny, folder))
    assert (result["accuracy"], result["slope"], result["rule_auc"]) == (0.5, 0.0, {})


def test_a_reply_is_scored_by_the_models_that_never_saw_its_prompt(
    trained: tuple[Path, dict], snapshot: Path, tiny: Path
) -> None:
    folder = trained[0] / "out"
    read = SnapshotFiles.load(snapshot)
    groups = {row.prompt: row.group for row in read.prompts_of("held_out")}
    judge = resolve({"kind": "reward_model", "directory": str(folder)}, [tiny], groups)
    assert isinstance(judge, CrossFittedJudge)
    ranking = next(one for one in read.rankings if one.split == "held_out")
    number = judge.folds.groups[ranking.group]
    alone = [reward_model.load(folder / f"fold-{number}-{people}", base=tiny) for people in range(2)]
    rows = [judge._encoded(reply) for reply in ranking.replies]
    expected = torch.stack([model.judge_rows(rows, judge.tokenizer.padding_id).scores for model in alone]).mean(0)
    assert judge.scores(ranking.replies) == pytest.approx(expected.tolist(), abs=1e-4)
    assert set(judge.violations(ranking.replies)) == {"no-feelings", "no-numbers"}


def test_what_it_scores_does_not_depend_on_what_is_asked_beside(trained: tuple[Path, dict], tiny: Path) -> None:
    judge = CrossFittedJudge.load(trained[0] / "out", [tiny], {})
    prompt = freeze([{"role": "user", "content": "Who are you?"}])
    replies = [PlainReply(prompt, text, True) for text in ("I feel a star.", "It is light.", "No.")]
    together = judge.scores(replies)
    alone = CrossFittedJudge.load(trained[0] / "out", [tiny], {})
    assert [alone.scores([reply])[0] for reply in replies] == pytest.approx(together, abs=1e-4)
