"""An evaluation names its judge, wins nothing against itself, and shows cheap tricks for what they are."""

import hashlib
import json
import math
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from rlhf.training.evaluation import stage as evaluate
from rlhf.training.evaluation.judged import AnchorReplies, Replies, judge_replies
from rlhf.training.evaluation.judges import resolve
from rlhf.training.evaluation.players import HUMAN_TEXT, Draw, DriftFromBase, human_text_nll, measure_drift
from rlhf.training.evaluation.report import describe
from rlhf.training.evaluation.tail_shares import describe_tails
from rlhf.training.gold import BadJudge, Gold, PlainReply
from rlhf.training.model.sampler import sample
from rlhf.training.model.transformer import Transformer
from rlhf.training.reward import model as reward_model
from rlhf.training.reward import stage as reward_model_stage
from rlhf.training.run import RunDirectory, Stopped
from rlhf.training.snapshot.files import PromptRow
from rlhf.training.tokens import ChatTokenizer
from tests.rlhf.training.planted import JUDGE, write_snapshot
from tests.tiny import make_tiny_policy

QUICK = {"max_tokens": 10, "prompts": 6, "best_of": 3, "best_of_prompts": 4, "samples": 4}
READ = DriftFromBase(0.0, 1.0, 1)
CONTROLS = {"null", "first_sentence", "best_of_8", "stop_controlled"}


@pytest.fixture(scope="module")
def made(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A snapshot, a reward model, a judge trained on the other split, and another policy."""
    root = tmp_path_factory.mktemp("evaluation")
    snapshot = write_snapshot(root / "s", rankings=8, held_out=8)
    for name, splits in (("rm", ["train"]), ("judge", ["held_out"])):
        (root / name).mkdir()
        config = {"base": str(tiny), "snapshot": str(snapshot), "output": str(root / name / "out"), "splits": splits}
        config["hyperparameters"] = {"adapted_layers": 2, "rank": 2, "epochs": 1}
        (root / name / "config.json").write_text(json.dumps(config))
        reward_model_stage.run(RunDirectory(root / name))
    other = make_tiny_policy(root / "other", seed=5)
    return {
        "snapshot": str(snapshot),
        "rm": str(root / "rm/out"),
        "judge": str(root / "judge/out"),
        "other": str(other),
    }


def evaluation(
    path: Path, made: dict[str, str], tiny: Path, policy: str, judge: dict | None = None, **changes: int
) -> RunDirectory:
    path.mkdir(exist_ok=True)
    config = {
        "policy": policy,
        "baseline": str(tiny),
        "base": str(tiny),
        "reward_model": made["rm"],
        "judge": judge or JUDGE,
        "snapshot": made["snapshot"],
        "seed": 1,
        "hyperparameters": QUICK | changes,
    }
    (path / "config.json").write_text(json.dumps(config))
    return RunDirectory(path)


def test_the_report_of_another_policy_has_all_that_was_agreed(
    made: dict[str, str], tiny: Path, tmp_path: Path
) -> None:
    report = evaluate.run(evaluation(tmp_path, made, tiny, made["other"]))
    assert report["judge"] == f"gold:{JUDGE['preference']}"
    assert (report["judge_kind"], report["judge_name"]) == ("gold", JUDGE["preference"])
    assert report["n"] == 12
    assert report["win_rate_low"] <= report["win_rate"] <= report["win_rate_high"]
    assert set(report["controls"]) == CONTROLS
    for found in report["controls"].values():
        assert 0 <= found["low"] <= found["win_rate"] <= found["high"] <= 1
    for name in ("violation_rate", "first_sentence_violation_rate"):
        for side in ("before", "after"):
            key = f"{name}_{side}"
            assert report[f"{key}_low"] <= report[key] <= report[f"{key}_high"]
    assert report["kl_nats"] > 1
    assert len(report["samples"]) == 4
    assert {"prompt", "before", "after", "score_before", "score_after"} <= set(report["samples"][0])
    for name in ("length_ratio", "repetition", "empty_rate", "perplexity_ratio", "surprise_ratio", "distinct_2"):
        assert math.isfinite(report[name])
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)


def test_a_policy_against_itself_has_moved_nowhere(made: dict[str, str], tiny: Path, tmp_path: Path) -> None:
    judge = {"kind": "reward_model", "directory": made["judge"]}
    report = evaluate.run(evaluation(tmp_path, made, tiny, str(tiny), judge, draws=40))
    assert report["surprise_ratio"] == pytest.approx(1, abs=0.1)  # other draws of the same distribution
    assert report["judge"] == "reward model:held_out"
    assert (report["judge_kind"], report["judge_name"]) == ("reward_model", "held_out")
    assert report["kl_nats"] == pytest.approx(0, abs=1e-4)
    assert report["perplexity_ratio"] == 1.0
    assert report["win_rate"] == pytest.approx(0.5, abs=0.15)  # 240 comparisons: over four standard errors


def test_a_later_policy_is_measured_against_the_original_base_too(
    made: dict[str, str], tiny: Path, tmp_path: Path
) -> None:
    """The second cycle: the live policy came from the base, and the candidate from the live policy."""
    third = make_tiny_policy(tmp_path / "third", seed=6)
    directory = evaluation(tmp_path / "run", made, tiny, str(third))
    config = json.loads((tmp_path / "run/config.json").read_text())
    config |= {"baseline": made["other"], "base": made["other"], "anchor": str(tiny)}
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    report = evaluate.run(RunDirectory(directory.path))
    assert report["anchor_is_start"] is False
    assert report["anchor_kl_nats"] > 1
    assert report["anchor_kl_nats"] != report["kl_nats"]
    assert report["anchor_violation_rate_low"] <= report["anchor_violation_rate"]
    nats = {
        name: human_text_nll(Transformer.load(path), ChatTokenizer.load(path))
        for name, path in (("third", third), ("tiny", tiny), ("other", Path(made["other"])))
    }
    assert report["anchor_perplexity_ratio"] == pytest.approx(math.exp(nats["third"] - nats["tiny"]))
    assert report["perplexity_ratio"] == pytest.approx(math.exp(nats["third"] - nats["other"]))


def test_in_the_first_cycle_the_anchor_is_where_training_started(
    made: dict[str, str], tiny: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "copy"
    shutil.copytree(tiny, moved)
    (tmp_path / "run").mkdir()
    evaluation(tmp_path / "run", made, tiny, made["other"])
    config = json.loads((tmp_path / "run/config.json").read_text()) | {"anchor": str(moved)}
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    report = evaluate.run(RunDirectory(tmp_path / "run"))
    assert report["anchor_is_start"] is True
    assert [key for key in report if key.startswith("anchor_")] == ["anchor_is_start"]


def test_a_home_that_was_moved_keeps_its_reward_models(made: dict[str, str], tiny: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(tiny, moved)
    config = json.loads((Path(made["rm"]) / "config.json").read_text())
    assert reward_model.base_of(Path(made["rm"]), [Path(made["other"]), moved]) == moved
    assert reward_model.base_of(Path(made["rm"]), []) == Path(config["base"])
    with pytest.raises(reward_model.OtherBase):
        reward_model.load(Path(made["rm"]), base=Path(made["other"]))


def test_a_stop_is_noticed_between_batches(made: dict[str, str], tiny: Path, tmp_path: Path) -> None:
    directory = evaluation(tmp_path, made, tiny, str(tiny))
    directory.stop()
    with pytest.raises(Stopped):
        evaluate.run(directory)


def draws(*texts: str) -> list[Draw]:
    return [Draw(PlainReply((("user", "q"),), text, True), len(text.split())) for text in texts]


def test_figures_by_hand() -> None:
    gold = Gold("gold:length", lambda p, t: -float(len(t.split())), {"a": lambda p, t: "a" in t.split()})
    prompts = [PromptRow((("user", "q"),), "held_out", "a"), PromptRow((("user", "r"),), "held_out", None)]
    replies = Replies(
        rows=prompts,
        after=[draws("x y.", "a."), draws("x", "")],
        before=[draws("x y z. w", "a b c. a"), draws("x", "x y")],
        best=draws("x", "x"),
        after_drift=[DriftFromBase(1.0, 6.0, 2), DriftFromBase(3.0, 3.0, 1)],
        base_drift=[DriftFromBase(0.0, 4.0, 4), DriftFromBase(0.0, 2.0, 2)],
    )
    report = describe(judge_replies(replies, gold), draws=1, samples=2, seed=0)
    assert report["win_rate"] == 0.75  # shorter, then a tie
    assert report["n"] == 2
    assert report["kl_nats"] == 2.0
    assert report["surprise_nats"] == 3.0
    assert report["surprise_nats_base"] == 1.0
    assert report["surprise_ratio"] == 3.0
    assert report["empty_rate"] == 0.25
    assert report["length_ratio"] == pytest.approx((2 + 1 + 1 + 0) / (4 + 4 + 1 + 2))
    assert report["anchor_is_start"] is True
    anchor = AnchorReplies(
        draws=[draws("a b", "x a"), draws("x y z", "x")],
        after_drift=[DriftFromBase(4.0, 8.0, 2), DriftFromBase(6.0, 4.0, 1)],
        own_drift=[DriftFromBase(0.0, 3.0, 4), DriftFromBase(0.0, 3.0, 2)],
    )
    with_anchor = describe(judge_replies(replace(replies, anchor=anchor), gold), draws=1, samples=2, seed=0)
    assert with_anchor["anchor_kl_nats"] == 5.0
    assert with_anchor["anchor_surprise_ratio"] == 4.0
    assert with_anchor["anchor_length_ratio"] == pytest.approx((2 + 1 + 1 + 0) / (2 + 2 + 3 + 1))
    assert with_anchor["anchor_violation_rate"] == 1.0  # both of the tempting prompt
    assert [sample["base"] for sample in with_anchor["samples"]] == ["a b", "x y z"]
    of_tails = set(describe_tails(replies))
    for key in set(report) - {"anchor_is_start", "samples", "worst"} - of_tails:
        assert with_anchor[key] == report[key], key
    assert report["violation_rate_before"] == 0.5  # of the tempting prompt alone
    assert report["violation_rate_after"] == 0.0  # "a." is no word of its own here
    assert report["violation_rate_by_rule_before"] == {"a": 0.5}
    assert report["violation_rise"] == -0.5
    assert with_anchor["anchor_violation_rise"] == -1.0
    assert report["win_rate_se"] == pytest.approx(0.25)  # of 1 and 0.5
    # cut after the first sentence: of "a b c. a" nothing, of "x y" two words against one
    assert report["first_sentence_margin"] == pytest.approx(((1 - 1) + (0.5 - 0)) / 2)
    assert report["controls"]["stop_controlled"]["win_rate"] == 0.75


def test_figures_of_first_sentences_are_of_what_is_left_of_a_reply() -> None:
    gold = Gold("gold:length", lambda p, t: -float(len(t.split())), {"z": lambda p, t: "z" in t.split()})
    replies = Replies(
        rows=[PromptRow((("user", "q"),), "held_out")],
        after=[draws("x y. z z z", "x")],
        before=[draws("x y z. w", "q q. r r r r")],
        best=draws("x"),
        after_drift=[READ],
        base_drift=[READ],
    )
    report = describe(judge_replies(replies, gold), draws=1, samples=0, seed=0)
    assert report["win_rate"] == 0.0  # five words lose against four
    controls = {name: control["win_rate"] for name, control in report["controls"].items()}
    assert controls == {
        "null": 0.0,  # six against four
        "first_sentence": 1.0,  # two against four
        "best_of_8": 1.0,
        "stop_controlled": 1.0,  # two against three
    }
    assert report["violation_rate_after"] == 0.5
    assert report["first_sentence_violation_rate_after"] == 0.0


def test_the_worst_are_rule_breaking_surprising_or_short_and_say_so() -> None:
    gold = Gold("gold:length", lambda p, t: float(len(t.split())), {"a": lambda p, t: "a" in t.split()})
    texts = ["a b c d", "b c d e", "b c", "b c d e f", "b c d"]
    prompts = [PromptRow((("user", text),), "held_out") for text in texts]
    after = [draws(text, "x") for text in texts]
    surprises = (1.0, 6.0, 1.0, 5.0, 3.0)
    drifts = [
        DriftFromBase(0.0, nats * of_prompt[0].tokens, of_prompt[0].tokens)
        for nats, of_prompt in zip(surprises, after, strict=True)
    ]
    base = draws(*["base"] * 5)
    replies = Replies(prompts, after, after, [], drifts, [READ] * 5, base)
    found = describe(judge_replies(replies, gold), draws=1, samples=3, seed=0)["worst"]
    assert [(row["prompt"], row["why"]) for row in found] == [
        ("b c d e", ["surprising"]),  # of one reason each, by how surprising
        ("a b c d", ["breaks_rule"]),
        ("b c", ["short"]),
    ]
    assert (found[0]["surprise_after"], found[2]["tokens_after"], found[1]["broken_after"]) == (6.0, 2, ["a"])
    assert {row["base"] for row in found} == {"base"}


def test_each_reply_has_a_line_without_its_text(made: dict[str, str], tiny: Path, tmp_path: Path) -> None:
    report = evaluate.run(evaluation(tmp_path, made, tiny, made["other"]))
    text = (tmp_path / "replies.jsonl").read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    assert report["replies"] == {
        "file": "replies.jsonl",
        "rows": len(rows),
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    sides = Counter(row["side"] for row in rows)
    # six prompts, two draws, and two for the controls; four of them tempt to break a rule, with four draws more
    assert sides == {"after": 40, "before": 40, "best_of": 4}
    assert sum(row["for_violations"] for row in rows) == 32
    assert sum(row["competes"] for row in rows if row["side"] == "after") == report["n"]
    drifts = [row["kl_nats"] for row in rows if row["side"] == "after" and row["kl_nats"] is not None]
    assert sum(drifts) / len(drifts) == pytest.approx(report["kl_nats"])
    assert not any(sample["after"] in text for sample in report["samples"] if len(sample["after"]) > 5)


def test_prompts_that_served_the_fewest_evaluations_come_first(
    made: dict[str, str], tiny: Path, tmp_path: Path
) -> None:
    """Eight are held out, six are asked: the two that were not asked are the first of the next evaluation."""
    first = evaluate.run(evaluation(tmp_path / "1", made, tiny, made["other"]))["prompts_asked"]
    directory = evaluation(tmp_path / "2", made, tiny, made["other"])
    config = json.loads((tmp_path / "2/config.json").read_text()) | {"prompts_used": dict.fromkeys(first, 1)}
    (tmp_path / "2/config.json").write_text(json.dumps(config))
    second = evaluate.run(RunDirectory(directory.path))["prompts_asked"]
    assert len(set(first)) == len(set(second)) == 6
    assert not set(second[:2]) & set(first)
    assert set(second[2:]) <= set(first)


def test_a_reward_model_s_violations_are_corrected_by_held_out_labels(
    made: dict[str, str], tiny: Path, tmp_path: Path
) -> None:
    judge = {"kind": "reward_model", "directory": made["judge"]}
    report = evaluate.run(evaluation(tmp_path, made, tiny, made["other"], judge))
    rows = [json.loads(line) for line in (tmp_path / "violation_labels.jsonl").read_text().splitlines()]
    assert report["violation_label_rows"]["rows"] == len(rows) == 32  # eight rankings of four, each under both rules
    labels = report["violation_labels"]["no-feelings"]
    assert labels["replies"] == 32
    assert labels["broken"] == sum(row["labels"]["no-feelings"] for row in rows)
    assert report["violations_by"] == "labels"
    assert report["violation_rise_low"] <= report["violation_rise"] <= report["violation_rise_high"]
    assert report["violation_rise_upper"] <= report["violation_rise_high"]


def test_without_a_rule_nothing_is_claimed_of_violations() -> None:
    gold = Gold("gold", lambda p, t: 0.0, {})
    both = [draws("a", "b")]
    report = describe(
        judge_replies(
            Replies([PromptRow((("user", "q"),), "held_out")], both, both, draws("a"), [READ], [READ]), gold
        ),
        draws=1,
        samples=0,
        seed=0,
    )
    assert report["violation_rate_after"] is None
    assert report["violation_rise_upper"] is report["violation_prompts_needed"] is None
    assert report["violation_prompts_elicit"] is False


def test_kl_surprise_and_perplexity_are_transformers(
    made: dict[str, str], tiny: Path, tokenizer: ChatTokenizer
) -> None:
    ours, theirs = (
        Transformer.load(Path(made["other"]), adapted_layers=2, dtype=torch.float32),
        Transformer.load(tiny, adapted_layers=2, dtype=torch.float32),
    )
    ids = tokenizer.prompt_ids([{"role": "user", "content": "What is a star?"}])
    rollout = sample(ours, [ids], max_tokens=6, temperature=0.7, seed=2)
    models = [LlamaForCausalLM.from_pretrained(p, dtype=torch.float32) for p in (made["other"], tiny)]
    row = rollout.ids[:, : int(rollout.lengths[0])].clone()
    logs = [m(row).logits[0, :-1].div(0.7).log_softmax(-1).gather(1, row[0, 1:, None]).sum(1) for m in models]
    expected = (logs[0] - logs[1])[len(ids) - 1 :].sum().item()
    found = measure_drift(theirs, rollout, ours, 0.7)[0]
    assert found.kl_nats == pytest.approx(expected, abs=1e-3)
    labels = row.clone()
    labels[0, : len(ids)] = -100
    assert found.tokens == row.shape[1] - len(ids)
    assert found.surprise_nats / found.tokens == pytest.approx(models[1](row, labels=labels).loss.item(), abs=1e-4)
    own = measure_drift(theirs, sample(theirs, [ids] * 3, max_tokens=6, temperature=0.7, seed=3), theirs, 0.7)
    assert [drift.kl_nats for drift in own] == [0.0] * 3
    total, count = 0.0, 0
    for line in HUMAN_TEXT.read_text().splitlines():
        text = torch.tensor([tokenizer.text_ids(line)])
        total += models[0](text, labels=text).loss.item() * (text.shape[1] - 1)
        count += text.shape[1] - 1
    assert human_text_nll(ours, tokenizer) == pytest.approx(total / count, abs=1e-4)


@pytest.mark.parametrize(
    "judge",
    [
        {"kind": "oracle"},
        {"kind": "gold", "preference": "nowhere"},
        {"kind": "gold", "preference": "no.such:thing"},
        {"kind": "gold", "preference": "json:nothing"},
    ],
)
def test_a_judge_that_cannot_be_found_is_named(judge: dict) -> None:
    with pytest.raises(BadJudge):
        resolve(judge)
