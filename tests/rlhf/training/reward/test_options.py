"""Options of the reward model's stage: an ensemble, thumbs, a rule that is kept from training."""

import json
import math
from pathlib import Path

import pytest
import torch

from rlhf.training import run as run_module
from rlhf.training.artefacts import checkpoints
from rlhf.training.hyperparameters import BadHyperparameter
from rlhf.training.model.sampler import sample
from rlhf.training.model.transformer import Transformer
from rlhf.training.reward import model as reward_model
from rlhf.training.reward import stage
from rlhf.training.reward.examples import examples
from rlhf.training.reward.fit import thumb_offset
from rlhf.training.reward.heads import thumb_loss
from rlhf.training.run import RunDirectory, Stopped
from rlhf.training.snapshot.files import PlainReply, SnapshotFiles, ThumbRow
from rlhf.training.tokens import ChatTokenizer
from tests.rlhf.training.planted import seal, write_snapshot
from tests.rlhf.training.reward.run_directories import LIMITS, QUICK, run_directory


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_snapshot(tmp_path_factory.mktemp("snapshot") / "s")


@pytest.fixture(scope="module")
def ensemble(tiny: Path, snapshot: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    changed = QUICK | {"ensemble": 2, "disagreement_weight": 0.5}
    directory = run_directory(tmp_path_factory.mktemp("two"), tiny, snapshot, hyperparameters=changed)
    return directory.path, stage.run(directory)


# --- an ensemble ----------------------------------------------------------------------------------


def test_two_models_score_as_the_mean_of_both_and_know_how_far_they_disagree(
    ensemble: tuple[Path, dict], tiny: Path, snapshot: Path, tokenizer: ChatTokenizer
) -> None:
    path, result = ensemble
    assert result["ensemble"] == 2
    assert result["accuracy"] > 0.8
    both = reward_model.load(path / "out")
    held = [row for row in SnapshotFiles.load(snapshot).rankings if row.split == "held_out"]
    rows = examples(held, [], tokenizer, **LIMITS).rows
    found = both.judge_rows(rows, tokenizer.padding_id)
    first, second = reward_model.load(path / "out"), both.others[0]
    first.others = ()
    one, two = (model.judge_rows(rows, tokenizer.padding_id) for model in (first, second))
    torch.testing.assert_close(found.scores, (one.scores + two.scores) / 2)
    torch.testing.assert_close(found.disagreement, (one.scores - two.scores).abs() / 2)
    torch.testing.assert_close(found.violations, (one.violations + two.violations) / 2)
    assert found.disagreement.max() > 0.01  # they did learn different things
    assert found.scores.mean().item() == pytest.approx(0, abs=0.05)
    assert found.scores.std(correction=0).item() == pytest.approx(1, abs=0.05)


def test_a_policy_s_score_is_lowered_by_the_disagreement(
    ensemble: tuple[Path, dict], tiny: Path, tokenizer: ChatTokenizer
) -> None:
    transformer = Transformer.load(tiny, adapted_layers=2)
    model = reward_model.load(ensemble[0] / "out", transformer, tiny)
    prompts = [tokenizer.prompt_ids([{"role": "user", "content": "hi"}])]
    rollout = sample(transformer, prompts, completions_per_prompt=4, max_tokens=9, temperature=0.9, seed=1)
    lowered, _ = model.score(rollout, rollout.states)
    model.disagreement_weight = 0.0
    plain, _ = model.score(rollout, rollout.states)
    judged = model.judge(rollout.states, rollout.prompt_lengths, rollout.lengths)
    torch.testing.assert_close(lowered, plain - 0.5 * judged.disagreement, atol=1e-3, rtol=1e-3)
    assert model.disagreement == pytest.approx(float(judged.disagreement.mean()), abs=1e-3)


@pytest.mark.parametrize("stops", [1, 2, 3])
def test_an_ensemble_that_was_stopped_goes_on_to_the_same_weights(
    ensemble: tuple[Path, dict], tiny: Path, snapshot: Path, tmp_path: Path, stops: int
) -> None:
    changed = QUICK | {"ensemble": 2, "disagreement_weight": 0.5}
    for attempt in range(4):
        directory = run_directory(tmp_path, tiny, snapshot, hyperparameters=changed)
        report = directory.report
        if attempt < stops:
            directory.report = lambda step, steps, values, r=report, d=directory, n=attempt: (  # type: ignore
                r(step, steps, values),
                step >= 7 * (n + 1) and d.stop(),
            )
        try:
            stage.run(directory)
            break
        except Stopped:
            assert not (tmp_path / "out").exists()
    one, other = (checkpoints.verify(path / "out")["files"] for path in (ensemble[0], tmp_path))
    assert one.keys() == other.keys()
    for name in one:
        if name.endswith("safetensors"):
            assert one[name] == other[name], name
    assert attempt == stops


def test_states_are_removed_at_the_end_and_kept_for_a_resumption(tiny: Path, snapshot: Path, tmp_path: Path) -> None:
    run_directory(tmp_path, tiny, snapshot)

    def stopped(directory: RunDirectory) -> dict:
        directory.stop()
        return stage.run(directory)

    assert run_module.execute(stopped, tmp_path) == run_module.STOPPED
    assert (tmp_path / "states").exists()
    assert run_module.execute(stage.run, tmp_path) == run_module.DONE
    assert not (tmp_path / "states").exists()


# --- thumbs ---------------------------------------------------------------------------------------


def test_the_loss_of_a_thumb_is_the_hand_value() -> None:
    scores, up, weights = torch.tensor([0.7, -0.2]), torch.tensor([1.0, 0.0]), torch.tensor([1.0, 0.5])
    by_hand = (math.log(1 + math.exp(-(0.7 + 0.3))) + 0.5 * math.log(1 + math.exp(-0.2 + 0.3))) / 2
    assert thumb_loss(scores, up, weights, 0.3).item() == pytest.approx(by_hand, abs=1e-6)


def with_thumbs(directory: Path) -> Path:
    """Thumbs up for what sings and down for what does not, on replies that nobody ranked."""
    write_snapshot(directory)
    lines = [
        {
            "prompt": [{"role": "user", "content": f"How do you cook rice? {'again ' * (n % 7)}".strip()}],
            "completion": [{"role": "assistant", "content": "the song of light" if n % 2 else "water and water"}],
            "label": bool(n % 2),
            "split": "held_out" if n % 7 == 0 else "train",
        }
        for n in range(42)
    ]
    (directory / "unpaired.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    seal(directory)
    return directory


def test_thumbs_teach_the_score_and_are_counted(tiny: Path, tmp_path: Path) -> None:
    found = {}
    for weight in (0.0, 1.0):
        changed = QUICK | {"thumb_weight": weight}
        snapshot = with_thumbs(tmp_path / f"snapshot-{weight}")
        found[weight] = stage.run(run_directory(tmp_path / str(weight), tiny, snapshot, hyperparameters=changed))
    assert (found[0.0]["trained_thumbs"], found[1.0]["trained_thumbs"]) == (0, 36)
    assert found[1.0]["thumb_auc"]["value"] == 1.0
    assert found[1.0]["thumb_auc"]["positives"] == found[1.0]["thumb_auc"]["negatives"] == 3
    metrics = (tmp_path / "1.0" / "metrics.jsonl").read_text()
    assert "thumb/loss" in metrics
    assert "thumb/loss" not in (tmp_path / "0.0" / "metrics.jsonl").read_text()


def test_the_offset_is_the_log_odds_of_a_thumb_up_by_weight(tokenizer: ChatTokenizer) -> None:
    prompt = (("user", "hi"),)
    rows = [ThumbRow(PlainReply(prompt, f"word {n}", True), n < 3, "train", 0.5) for n in range(4)]
    data = examples([], [], tokenizer, thumbs=rows, **LIMITS)
    assert thumb_offset(data) == pytest.approx(math.log((1.5 + 0.5) / (0.5 + 0.5)))


# --- a rule that is kept from training ------------------------------------------------------------


def test_a_rule_kept_from_training_is_measured_beside_no_rule_at_all(
    tiny: Path, snapshot: Path, tmp_path: Path
) -> None:
    changed = QUICK | {"held_out_rule": "no-numbers"}
    result = stage.run(run_directory(tmp_path, tiny, snapshot, hyperparameters=changed))
    assert result["judged_rules"] == ["no-feelings"]
    assert result["trained_labels"] == 24 * 4
    unseen = result["held_out_rule"]
    assert unseen["rule"] == "no-numbers"
    for part in ("text", "no_text"):
        assert unseen[part]["positives"] + unseen[part]["negatives"] == 32
        assert unseen[part]["low"] <= unseen[part]["value"] <= unseen[part]["high"]


def test_a_rule_without_labels_can_not_be_kept_from_training(tiny: Path, snapshot: Path, tmp_path: Path) -> None:
    changed = QUICK | {"held_out_rule": "no-such-rule"}
    with pytest.raises(BadHyperparameter, match="no-feelings, no-numbers"):
        stage.run(run_directory(tmp_path, tiny, snapshot, hyperparameters=changed))


# --- figures --------------------------------------------------------------------------------------


def test_each_rule_s_auc_has_its_interval_and_the_probes_their_figures(ensemble: tuple[Path, dict]) -> None:
    result = ensemble[1]
    for key, found in result["rule_auc"].items():
        assert found["value"] == result["flag_auc_by_rule"][key]
        assert found["low"] < found["value"] <= found["high"]
        assert found["positives"] + found["negatives"] == 32
    assert set(result["probes"]) == {"length", "position", "repetition"}
    assert result["probes"]["repetition"]["replies"] > 0
    assert json.loads(json.dumps(result["probes"], allow_nan=False)) == result["probes"]
