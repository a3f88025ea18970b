"""The ranking loss and its gradient beside TRL's RewardTrainer, on one model and the same pairs."""

from pathlib import Path

import pytest
import torch

from rlhf.training.model.transformer import Transformer
from rlhf.training.reward import stage
from rlhf.training.reward.examples import Examples, examples, pair_margins, pair_table, trunk_states
from rlhf.training.reward.features import lengths, stack
from rlhf.training.reward.fit import RewardModelConfig
from rlhf.training.reward.heads import ranking_loss
from rlhf.training.snapshot.files import PlainReply, RankingRow
from rlhf.training.tokens import ChatTokenizer

PAIRS = [
    ("What is a star?", "A star is a ball of hot gas.", "I feel happy."),
    ("Do you sing?", "No.", "I love the songs of my family today."),
    ("Why do birds sing?", "They sing to find a mate.", "They are happy"),
]
MARGINS = (1.0, 0.0, 2.0)


def data(tokenizer: ChatTokenizer, margins: tuple[float, ...]) -> Examples:
    rankings = [
        RankingRow(
            tuple(PlainReply((("user", prompt),), text, True) for text in (chosen, rejected)),
            (1, 2),
            "train",
            margins=((0, 1, margin),),
        )
        for (prompt, chosen, rejected), margin in zip(PAIRS, margins, strict=True)
    ]
    return examples(rankings, [], tokenizer, max_completion_tokens=40)


def ours(tiny: Path, tokenizer: ChatTokenizer, found: Examples, weight: torch.Tensor) -> tuple[float, torch.Tensor]:
    """Loss and the gradient of a head that reads the last token of the top, as TRL's does."""
    transformer = Transformer.load(tiny, dtype=torch.float32, adapted_layers=2)
    model = stage.fresh_model(transformer, tokenizer, {}, RewardModelConfig(adapted_layers=2, rank=2), 0)
    width = weight.shape[0]
    with torch.no_grad():
        model.heads.preference[:width] = weight
    states = trunk_states(transformer, found.rows, tokenizer.padding_id)
    items = [item for group in found.groups for item in group.items]
    features = model.features(stack([states[i] for i in items]), *lengths([found.rows[i] for i in items]))
    pairs, weights = pair_table(found.groups)
    loss = ranking_loss(
        model.heads.scores(features.pooled), pairs, weights, pair_margins(found.groups, len(pairs))
    ) / len(PAIRS)
    loss.backward()
    assert model.heads.preference.grad is not None
    return float(loss.detach()), model.heads.preference.grad[:width]


@pytest.mark.parametrize("margins", [(0.0, 0.0, 0.0), MARGINS])
def test_the_ranking_loss_with_margins_is_that_of_trl_s_reward_trainer(
    tiny: Path, tokenizer: ChatTokenizer, tmp_path: Path, margins: tuple[float, ...]
) -> None:
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification
    from trl import RewardConfig, RewardTrainer

    found = data(tokenizer, margins)
    theirs = AutoModelForSequenceClassification.from_pretrained(tiny, num_labels=1, dtype=torch.float32)
    theirs.config.pad_token_id = tokenizer.padding_id
    torch.nn.init.normal_(theirs.score.weight, std=0.5, generator=torch.Generator().manual_seed(4))
    weight = theirs.score.weight.detach()[0].clone()
    rows = [
        {"chosen_ids": list(found.rows[a].ids), "rejected_ids": list(found.rows[b].ids), "margin": margin}
        for (a, b), margin in zip(found.pairs, margins, strict=True)
    ]
    trainer = RewardTrainer(
        model=theirs,
        args=RewardConfig(
            output_dir=str(tmp_path), bf16=False, use_cpu=True, report_to=[], disable_tqdm=True, disable_dropout=True
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer.tokenizer,
    )
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(len(rows))])
    loss = trainer.compute_loss(trainer.model, dict(batch))
    loss.backward()
    mine, gradient = ours(tiny, tokenizer, found, weight)
    assert mine == pytest.approx(loss.item(), rel=1e-4)
    torch.testing.assert_close(gradient, theirs.score.weight.grad[0], atol=1e-4, rtol=1e-3)


def test_a_margin_is_asked_for_in_the_loss(tiny: Path, tokenizer: ChatTokenizer) -> None:
    weight = torch.linspace(-1, 1, Transformer.load(tiny, adapted_layers=2).config.hidden_size)
    plain, with_margins = (ours(tiny, tokenizer, data(tokenizer, m), weight)[0] for m in ((0.0, 0.0, 0.0), MARGINS))
    assert with_margins > plain + 0.1
