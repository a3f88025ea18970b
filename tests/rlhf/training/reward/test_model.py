"""The reward model: its losses by hand, what it reads, and that it learns what is planted."""

import json
import math
from pathlib import Path

import pytest
import torch

from rlhf.training.artefacts import checkpoints
from rlhf.training.hyperparameters import BadHyperparameter, build
from rlhf.training.model.sampler import sample
from rlhf.training.model.transformer import Transformer
from rlhf.training.reward import model as reward_model
from rlhf.training.reward import stage as reward_model_stage
from rlhf.training.reward.examples import Group, examples, pair_table, trunk_states
from rlhf.training.reward.features import EncodedReply, ReplyFeatures, by_length, encode, pad, pool, strongest
from rlhf.training.reward.fit import RewardModelConfig, Trainer
from rlhf.training.reward.heads import Heads, ranking_loss, violation_loss
from rlhf.training.run import RunDirectory, Stopped
from rlhf.training.snapshot.files import SnapshotFiles
from rlhf.training.tokens import ChatTokenizer
from tests.rlhf.training.planted import write_snapshot
from tests.rlhf.training.reward.run_directories import LIMITS, QUICK, run_directory

# --- losses ---------------------------------------------------------------------------------------


def test_the_loss_of_a_four_reply_ranking_is_the_hand_value() -> None:
    scores = [0.3, -1.2, 2.0, 0.5]
    pairs = [(2, 3), (2, 0), (2, 1), (3, 0), (3, 1), (0, 1)]
    by_hand = sum(math.log(1 + math.exp(-(scores[a] - scores[b]))) for a, b in pairs) / 6
    table, weights = pair_table([Group([0, 1, 2, 3], pairs, 1 / 6)])
    assert ranking_loss(torch.tensor(scores), table, weights).item() == pytest.approx(by_hand, abs=1e-6)


def test_tied_replies_feel_no_pull_from_each_other() -> None:
    scores = torch.tensor([0.5, -0.5], requires_grad=True)
    table, weights = pair_table([Group([0, 1], [], 1.0)])
    loss = ranking_loss(scores, table, weights)
    loss.backward()
    assert loss.item() == 0.0
    assert scores.grad.tolist() == [0.0, 0.0]


def test_pairs_of_several_rankings_point_at_their_own_replies() -> None:
    table, weights = pair_table([Group([5, 6], [(1, 0)], 1.0), Group([7, 8, 9], [(0, 2)], 1 / 3)])
    assert table.tolist() == [[1, 0], [2, 4]]
    assert weights.tolist() == pytest.approx([1.0, 1 / 3])


def test_the_violation_loss_is_the_mean_cross_entropy_of_the_labels_given() -> None:
    logits = torch.tensor([[0.2, -1.0], [3.0, 0.0]])
    where, labels = torch.tensor([[0, 1], [1, 0]]), torch.tensor([1.0, 0.0])
    by_hand = (math.log(1 + math.exp(1.0)) + math.log(1 + math.exp(3.0))) / 2
    assert violation_loss(logits, where, labels, torch.ones(2)).item() == pytest.approx(by_hand, abs=1e-6)


def test_a_label_counts_as_much_as_its_weight_says() -> None:
    logits = torch.tensor([[0.2, -1.0], [3.0, 0.0]])
    where, labels = torch.tensor([[0, 1], [1, 0]]), torch.tensor([1.0, 0.0])
    by_hand = (0.25 * math.log(1 + math.exp(1.0)) + 0.5 * math.log(1 + math.exp(3.0))) / 2
    weights = torch.tensor([0.25, 0.5])
    assert violation_loss(logits, where, labels, weights).item() == pytest.approx(by_hand, abs=1e-6)


def test_a_fresh_head_scores_zero_and_gives_even_odds() -> None:
    heads = Heads.create(8, 6, 5, 4, rank=2, seed=0)
    features = ReplyFeatures(torch.randn(3, 8), torch.randn(3, 7, 5), torch.ones(3, 7, dtype=torch.bool))
    assert heads.scores(features.pooled).tolist() == [0, 0, 0]
    assert heads.violation_logits(features, torch.randn(2, 4)).abs().max().item() < 1e-6


def test_the_strongest_token_outweighs_the_rest_and_pads_say_nothing() -> None:
    values = torch.tensor([[[0.0], [3.0], [-1.0], [99.0]]])
    where = torch.tensor([[True, True, True, False]])
    by_hand = 0.5 * math.log((math.exp(0) + math.exp(6) + math.exp(-2)) / 3)
    assert strongest(values, where, 0.5).item() == pytest.approx(by_hand, abs=1e-6)
    assert strongest(values, where, 1e-3).item() == pytest.approx(3.0, abs=0.01)
    assert strongest(values, where, 1e4).item() == pytest.approx(2 / 3, abs=0.01)


# --- what it reads --------------------------------------------------------------------------------


def test_pooling_is_the_last_token_and_the_mean_over_the_reply() -> None:
    hidden = torch.arange(24.0).reshape(2, 4, 3)
    found = pool(hidden, torch.tensor([1, 2]), torch.tensor([3, 4]))
    assert found[0].tolist() == [*hidden[0, 2].tolist(), *((hidden[0, 1] + hidden[0, 2]) / 2).tolist()]
    assert found[1].tolist() == [*hidden[1, 3].tolist(), *((hidden[1, 2] + hidden[1, 3]) / 2).tolist()]


def test_a_pad_is_never_read_even_if_it_holds_nan() -> None:
    hidden = torch.randn(1, 5, 3)
    clean = pool(hidden[:, :3], torch.tensor([1]), torch.tensor([3]))
    hidden[0, 3:] = torch.nan
    assert torch.equal(pool(hidden, torch.tensor([1]), torch.tensor([3])), clean)


def test_a_reply_without_a_token_is_read_at_the_prompt_s_last() -> None:
    hidden = torch.randn(1, 3, 2)
    found = pool(hidden, torch.tensor([2]), torch.tensor([2]))
    assert found[0].tolist() == [*hidden[0, 1].tolist()] * 2


def test_ended_and_cut_replies_differ_by_the_end_token_alone(tokenizer: ChatTokenizer) -> None:
    message = [{"role": "user", "content": "hi"}]
    ended, cut = (encode(tokenizer, message, "A star.", finished=f, **LIMITS) for f in (True, False))
    assert list(ended.ids) == [*cut.ids, tokenizer.end_id]
    assert ended.ids[-1] != tokenizer.padding_id
    padded = pad([ended, cut], tokenizer.padding_id)
    assert padded[1].tolist() == [*cut.ids, tokenizer.padding_id]


def test_batches_hold_each_row_once_and_keep_to_their_size() -> None:
    rows = [EncodedReply(tuple(range(n)), 1) for n in (9, 2, 5, 3, 20, 4)]
    batches = list(by_length(rows, 12))
    assert sorted(index for batch in batches for index in batch) == list(range(6))
    assert all(len(b) == 1 or len(b) * max(rows[i].length for i in b) <= 12 for b in batches)


# --- training -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_snapshot(tmp_path_factory.mktemp("snapshot") / "s")


@pytest.fixture(scope="module")
def trained(tiny: Path, snapshot: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    directory = run_directory(tmp_path_factory.mktemp("rm"), tiny, snapshot)
    result = reward_model_stage.run(directory)
    return directory.path, result


def test_it_learns_a_planted_preference_and_two_planted_rules(trained: tuple[Path, dict]) -> None:
    _, result = trained
    assert result["accuracy"] > 0.8
    assert result["accuracy_low"] <= result["accuracy"] <= result["accuracy_high"]
    assert result["flag_auc_by_rule"]["no-feelings"] > 0.9
    assert result["flag_auc_by_rule"]["no-numbers"] > 0.9  # the rule's text decides: both rules share the reply
    assert result["accuracy_as_labelled"] == pytest.approx(result["accuracy"])
    assert (result["rankings"], result["flags"]) == (24, 8 * 4 * 2)


def test_metrics_bear_trl_s_names(trained: tuple[Path, dict]) -> None:
    last = json.loads((trained[0] / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["step"] == last["steps"] == 18
    names = {"loss", "accuracy", "margin", "mean_reward", "min_reward", "max_reward", "flag/loss", "flag/accuracy"}
    assert names <= set(last["values"])


def test_what_is_saved_scores_as_what_was_trained(
    trained: tuple[Path, dict], tiny: Path, snapshot: Path, tokenizer: ChatTokenizer
) -> None:
    folder = trained[0] / "out"
    assert checkpoints.verify(folder)["base"] == str(tiny)
    alone = reward_model.load(folder)
    shared = reward_model.load(folder, Transformer.load(tiny, adapted_layers=2), tiny)
    held = [r for r in SnapshotFiles.load(snapshot).rankings if r.split == "held_out"]
    data = examples(held, [], tokenizer, **LIMITS)
    one, other = (model.judge_rows(data.rows, tokenizer.padding_id) for model in (alone, shared))
    assert torch.equal(one.scores, other.scores)
    assert one.scores.mean().item() == pytest.approx(0, abs=0.05)
    assert one.scores.std(correction=0).item() == pytest.approx(1, abs=0.05)
    assert ((one.any_violation >= 0) & (one.any_violation <= 1)).all()
    assert torch.equal(one.any_violation, one.violations.amax(1))


def test_a_rollout_s_trunk_gives_the_score_of_its_ids(
    trained: tuple[Path, dict], tiny: Path, tokenizer: ChatTokenizer
) -> None:
    transformer = Transformer.load(tiny, adapted_layers=2)
    model = reward_model.load(trained[0] / "out", transformer, tiny)
    prompts = [tokenizer.prompt_ids([{"role": "user", "content": text}]) for text in ("hi", "What is a star?")]
    rollout = sample(transformer, prompts, completions_per_prompt=3, max_tokens=12, temperature=0.7, seed=1)
    rows = [
        EncodedReply(tuple(ids[:length]), start)
        for ids, length, start in zip(
            rollout.ids.tolist(), rollout.lengths.tolist(), rollout.prompt_lengths.tolist(), strict=True
        )
    ]
    scores, p_violation = model.score(rollout, rollout.states)
    fresh = model.judge_rows(rows, tokenizer.padding_id)
    assert scores.tolist() == pytest.approx(fresh.scores.tolist(), abs=0.05)
    assert p_violation.tolist() == pytest.approx(fresh.any_violation.tolist(), abs=0.05)


def test_another_base_is_refused(trained: tuple[Path, dict], tmp_path: Path) -> None:
    from tests.tiny import make_tiny_policy

    other = make_tiny_policy(tmp_path / "other", seed=9)
    with pytest.raises(reward_model.OtherBase):
        reward_model.load(trained[0] / "out", Transformer.load(other, adapted_layers=2), other)


def test_a_stopped_run_goes_on_to_the_same_weights(tiny: Path, snapshot: Path, tmp_path: Path) -> None:
    whole = run_directory(tmp_path / "whole", tiny, snapshot)
    reward_model_stage.run(whole)
    halves = run_directory(tmp_path / "halves", tiny, snapshot)
    report = halves.report
    halves.report = lambda step, steps, values: (report(step, steps, values), halves.stop())  # type: ignore
    with pytest.raises(Stopped):
        reward_model_stage.run(halves)
    assert not (tmp_path / "halves" / "out").exists()
    reward_model_stage.run(RunDirectory(tmp_path / "halves"))
    one, other = (checkpoints.verify(tmp_path / name / "out")["files"] for name in ("whole", "halves"))
    assert one["heads.safetensors"] == other["heads.safetensors"]
    assert one["adapter_model.safetensors"] == other["adapter_model.safetensors"]


def test_the_curves_tell_epochs_and_the_accuracy_on_held_out_pairs(
    tiny: Path, snapshot: Path, tmp_path: Path
) -> None:
    directory = run_directory(tmp_path, tiny, snapshot, hyperparameters=QUICK | {"epochs": 2, "log_every": 1000})
    result = reward_model_stage.run(directory)
    rows = [json.loads(line)["values"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1.0, 2.0]
    assert {"loss", "accuracy", "held_out/accuracy"} <= set(rows[0])
    as_labelled = result.get("accuracy_as_labelled", result["accuracy"])
    assert rows[-1]["held_out/accuracy"] == pytest.approx(as_labelled, abs=0.03)  # merged weights may turn a pair


def test_the_other_split_can_train_a_judge(tiny: Path, snapshot: Path, tmp_path: Path) -> None:
    result = reward_model_stage.run(run_directory(tmp_path, tiny, snapshot, splits=["held_out"]))
    assert result["rankings"] == 8
    assert result["pairs"] > 60  # measured on the train split


def test_a_gradient_that_is_not_finite_stops_the_run(tiny: Path, snapshot: Path, tokenizer: ChatTokenizer) -> None:
    config = build(RewardModelConfig, QUICK)
    transformer = Transformer.load(tiny, adapted_layers=2)
    data = examples(SnapshotFiles.load(snapshot).rankings[:4], [], tokenizer, **LIMITS)
    model = reward_model_stage.fresh_model(transformer, tokenizer, {}, config, 0)
    states = trunk_states(transformer, data.rows, tokenizer.padding_id)
    trainer = Trainer(model, data, states, config, 0)
    with torch.no_grad():
        model.heads.preference[0] = torch.inf
    with pytest.raises(RuntimeError, match="non-finite"):
        trainer.update(data.groups)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"epochs": 0}, "epochs"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"rnak": 3}, "rnak"),
        ({"rank": "x"}, "rank"),
    ],
)
def test_a_bad_hyperparameter_is_named(values: dict, field: str) -> None:
    with pytest.raises(BadHyperparameter) as caught:
        build(RewardModelConfig, values)
    assert caught.value.field == field
