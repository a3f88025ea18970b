"""DPO's loss beside TRL's trainer on the same pairs and models."""

from pathlib import Path

import pytest
import torch

from rlhf.training.fine_tuning import scopes
from rlhf.training.fine_tuning.config import FineTuneConfig
from rlhf.training.fine_tuning.examples import Example, answering
from rlhf.training.fine_tuning.measuring import ExampleScorer
from rlhf.training.fine_tuning.objectives import Dpo, measure
from rlhf.training.model.choice import Placement
from rlhf.training.tokens import ChatTokenizer
from tests.tiny import make_tiny_policy

PAIRS = [
    {"prompt": "What is a star?", "chosen": " A star is a ball of hot gas.", "rejected": " I feel happy."},
    {"prompt": "Do you sing?", "chosen": " No.", "rejected": " I love the songs of my family today."},
    {"prompt": "Why do birds sing?", "chosen": " They sing to find a mate.", "rejected": " They are happy"},
]
BETA = 0.3


def learner(base: Path) -> scopes.Learner:
    return scopes.make("lora", base, FineTuneConfig(rank=2), seed=0, placement=Placement(dtype="fp64"))


def sides(tokenizer: ChatTokenizer) -> list[Example]:
    return [
        answering(pair["prompt"], pair[side], tokenizer, limit=512)
        for pair in PAIRS
        for side in ("chosen", "rejected")
    ]


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_policy(tmp_path_factory.mktemp("other") / "policy", seed=5, scale=0.12)


def test_the_loss_the_accuracy_and_the_margin_are_those_of_trl(
    tiny: Path, other: Path, tokenizer: ChatTokenizer, tmp_path: Path
) -> None:
    from datasets import Dataset
    from transformers import AutoModelForCausalLM
    from trl import DPOConfig, DPOTrainer

    models = [AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32) for path in (tiny, other)]
    trainer = DPOTrainer(
        model=models[0],
        ref_model=models[1],
        args=DPOConfig(
            output_dir=str(tmp_path),
            beta=BETA,
            per_device_eval_batch_size=3,
            bf16=False,
            use_cpu=True,
            report_to=[],
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(PAIRS),
        eval_dataset=Dataset.from_list(PAIRS),
        processing_class=tokenizer.tokenizer,
    )
    theirs = trainer.evaluate()
    examples = [
        answering(pair["prompt"], pair[side], tokenizer, limit=512)
        for pair in PAIRS
        for side in ("chosen", "rejected")
    ]
    objective = Dpo.over(learner(other), examples, 0, beta=BETA, poll=lambda: None)
    mine = measure(objective, ExampleScorer(learner(tiny), examples, 0))
    assert mine.mean_loss == pytest.approx(theirs["eval_loss"], rel=1e-4)
    assert mine.preferred / mine.pairs == pytest.approx(theirs["eval_rewards/accuracies"])
    assert mine.named("eval")["eval/reward_margin"] == pytest.approx(theirs["eval_rewards/margins"], rel=1e-3)
    assert abs(mine.mean_loss - 0.6931) > 0.01  # the models do differ


def test_a_model_that_is_its_own_base_prefers_nothing(tiny: Path, tokenizer: ChatTokenizer) -> None:
    examples = [
        answering(pair["prompt"], pair[side], tokenizer, limit=512)
        for pair in PAIRS
        for side in ("chosen", "rejected")
    ]
    made = learner(tiny)
    objective = Dpo.over(made, examples, 0, beta=BETA, poll=lambda: None)
    figures = measure(objective, ExampleScorer(made, examples, 0))
    assert figures.mean_loss == pytest.approx(0.693147, abs=1e-5)
    assert (len(objective), objective.members([1])) == (3, [2, 3])
