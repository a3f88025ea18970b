"""What the rule head learns where people flag the same replies and disagree."""

import json
from pathlib import Path

import pytest
import torch

from rlhf.training.hyperparameters import build
from rlhf.training.model.transformer import Transformer
from rlhf.training.reward import stage
from rlhf.training.reward.examples import examples, trunk_states
from rlhf.training.reward.fit import RewardModelConfig, Trainer
from rlhf.training.snapshot.files import SnapshotFiles
from rlhf.training.tokens import ChatTokenizer
from tests.rlhf.training.planted import RULES, seal

RULE = "no-feelings"
REPLIES = ("I feel light today", "It is water 3.", "A star", "my day was a song", "The bird sings.")
CAPPED = 1 / 9
"""Weight of a flag of one of eleven people with 1,000 flags beside 500 of the others: 2/11 of the sum is 1,000/9."""


def write_disagreement(directory: Path, weight: float | None) -> Path:
    """One person says in 1,000 flags that every reply breaks the rule, ten people in 50 each that none does."""
    directory.mkdir()
    lines = []
    for person, count in enumerate([1000, *[50] * 10]):
        for number in range(count):
            line = {
                "id": f"{person}-{number}",
                "prompt": [{"role": "user", "content": "How was your day?"}],
                "completion": {"text": REPLIES[number % len(REPLIES)], "finish_reason": "stop"},
                "rule": RULE,
                "rule_text": RULES[RULE],
                "label": int(person == 0),
                "split": "train",
                "annotator": str(person),
                "simulated": False,
            }
            lines.append(line if weight is None else line | {"weight": 1.0 if person else weight})
    (directory / "violations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    seal(directory)
    return directory


def learned(tiny: Path, tokenizer: ChatTokenizer, snapshot: Path) -> torch.Tensor:
    """P(violation) of each reply after training."""
    config = build(RewardModelConfig, {"adapted_layers": 2, "rank": 2, "epochs": 40, "heads_learning_rate": 3e-2})
    transformer = Transformer.load(tiny, adapted_layers=2)
    data = examples([], SnapshotFiles.load(snapshot).violations, tokenizer, max_completion_tokens=40)
    model = stage.fresh_model(transformer, tokenizer, {RULE: RULES[RULE]}, config, 0)
    model.judged = (RULE,)
    states = trunk_states(transformer, data.rows, tokenizer.padding_id)
    stage.standardise(model, *stage.raw_features(model, states, data.rows))
    assert Trainer(model, data, states, config, 0).train(lambda *_: None, lambda: False)
    model.merge()
    return model.judge_rows(data.rows, tokenizer.padding_id).violations[:, 0]


@pytest.mark.parametrize(("weight", "believed"), [(None, "one"), (1.0, "one"), (CAPPED, "ten")])
def test_a_thousand_flags_of_one_person_do_not_outweigh_fifty_each_of_ten(
    tiny: Path, tokenizer: ChatTokenizer, tmp_path: Path, weight: float | None, believed: str
) -> None:
    """The optimum is the weighted share of the flags that say so: 2/3 unweighted, 2/11 with the weight of a cap."""
    found = learned(tiny, tokenizer, write_disagreement(tmp_path / "snapshot", weight))
    expected = 2 / 3 if believed == "one" else 2 / 11
    assert found.tolist() == pytest.approx([expected] * len(REPLIES), abs=0.06)
