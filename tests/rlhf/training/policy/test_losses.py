"""Losses of the ways that learn from replies, beside TRL's trainers and the papers' formulas, on a tiny model."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from rlhf.training.fine_tuning import scopes
from rlhf.training.fine_tuning.config import FineTuneConfig
from rlhf.training.fine_tuning.measuring import ExampleScorer
from rlhf.training.fine_tuning.objectives import Dpo, Supervised, measure
from rlhf.training.model.choice import Placement
from rlhf.training.model.transformer import Transformer
from rlhf.training.policy import kl, kto, trl_runs
from rlhf.training.policy.config import WayConfig
from rlhf.training.policy.inputs import PolicyInputs
from rlhf.training.policy.replies import ReplyEncoder
from rlhf.training.run import RunDirectory
from rlhf.training.snapshot.files import PlainReply, SnapshotFiles
from rlhf.training.tokens import ChatTokenizer
from tests.rlhf.training.core_tiny import disturb

PROMPTS = ("What is a star?", "Do you sing?", "Why do birds sing?")
REPLIES = ("A star is a ball of hot gas.", "No.", "They sing to find a mate.")


def replies() -> list[PlainReply]:
    return [PlainReply((("user", p),), r, True) for p, r in zip(PROMPTS, REPLIES, strict=True)]


def test_the_supervised_loss_is_that_of_trl(tiny: Path, tokenizer: ChatTokenizer, tmp_path: Path) -> None:
    from datasets import Dataset
    from transformers import AutoModelForCausalLM
    from trl import SFTConfig, SFTTrainer

    encoder = ReplyEncoder(tokenizer, 512)
    rows = [encoder.ids(reply) for reply in replies()]
    tokenized = [{"input_ids": [*p, *r], "completion_mask": [0] * len(p) + [1] * len(r)} for p, r in rows]
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32),
        args=SFTConfig(
            output_dir=str(tmp_path),
            per_device_eval_batch_size=3,
            bf16=False,
            use_cpu=True,
            report_to=[],
            disable_tqdm=True,
            completion_only_loss=True,
        ),
        train_dataset=Dataset.from_list(tokenized),
        eval_dataset=Dataset.from_list(tokenized),
        processing_class=tokenizer.tokenizer,
    )
    theirs = trainer.evaluate()["eval_loss"]
    examples = [encoder.example(reply) for reply in replies()]
    learner = scopes.make("lora", tiny, FineTuneConfig(rank=2), seed=0, placement=Placement(dtype="fp32"))
    mine = measure(Supervised(examples), ExampleScorer(learner, examples, tokenizer.padding_id))
    assert mine.mean_loss == pytest.approx(theirs, rel=1e-4)


def test_a_pair_s_weight_counts_in_the_mean(tiny: Path, tokenizer: ChatTokenizer) -> None:
    encoder = ReplyEncoder(tokenizer, 512)
    one, other, third = replies()
    examples = [encoder.example(reply) for reply in (one, other, third, one)]
    learner = scopes.make("lora", tiny, FineTuneConfig(rank=2), seed=0, placement=Placement(dtype="fp64"))
    disturb(learner.adapter)  # type: ignore[attr-defined]
    scorer = ExampleScorer(learner, examples, tokenizer.padding_id)
    alone = [
        measure(Dpo.over(learner, examples[at : at + 2], 0, beta=0.3, poll=lambda: None), part).mean_loss
        for at in (0, 2)
        for part in [ExampleScorer(learner, examples[at : at + 2], tokenizer.padding_id)]
    ]
    both = Dpo.over(learner, examples, 0, beta=0.3, poll=lambda: None, weights=[0.25, 1.0])
    assert measure(both, scorer).mean_loss == pytest.approx((0.25 * alone[0] + alone[1]) / 1.25)
    assert abs(alone[0] - alone[1]) > 0.01


def test_kto_s_loss_on_our_tokens_is_the_paper_s(tiny: Path, tokenizer: ChatTokenizer, tmp_path: Path) -> None:
    """Equation 7, from log-probs of our own forward pass; z0 from each prompt beside its neighbour's completion."""
    config = kto.KtoConfig(batch_size=3, beta=0.4, rank=2, adapted_layers=2)
    encoder = ReplyEncoder(tokenizer, 512)
    rows: list[dict[str, Any]] = [
        {"prompt_ids": prompt, "completion_ids": reply, "label": good}
        for (prompt, reply), good in zip((encoder.ids(one) for one in replies()), (True, False, True), strict=True)
    ]
    transformer = Transformer.load(tiny, adapted_layers=2, dtype=torch.float32)
    (tmp_path / "config.json").write_text("{}")
    inputs = PolicyInputs(tiny, tokenizer, SnapshotFiles(tmp_path, (), (), (), {}, simulated=True), {})
    trainer = kto.make_trainer(config, inputs, rows, (1.5, 0.5), RunDirectory(tmp_path), transformer, _silent())
    trainer.model.float()
    draw = torch.Generator().manual_seed(2)
    shapes = [one.shape for one in trl_runs.trainable(trainer.model)]
    trl_runs.put_back(trainer.model, [torch.randn(shape, generator=draw) * 0.2 for shape in shapes])
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.model.eval()
    theirs = float(trainer.compute_loss(trainer.model, batch).detach())

    adapter = trl_runs.adapter_of(trainer.model, transformer, config)
    learner = scopes.LoraLearner(transformer, adapter)
    base = scopes.make("lora", tiny, FineTuneConfig(rank=2, layers=2), seed=0, placement=Placement(dtype="fp32"))

    @torch.no_grad()
    def gain(prompt: list[int], reply: list[int]) -> float:
        example = kto_example(prompt, reply)
        logs = [float(ExampleScorer(side, [example], 0).score([0]).log_probs.sum()) for side in (learner, base)]
        return logs[0] - logs[1]

    neighbours = [rows[index - 1]["completion_ids"] for index in range(3)]
    z0 = max(0.0, sum(gain(row["prompt_ids"], other) for row, other in zip(rows, neighbours, strict=True)) / 3)
    losses = []
    for row in rows:
        sign, weight = (1.0, 1.5) if row["label"] else (-1.0, 0.5)
        value = 0.4 * sign * (gain(row["prompt_ids"], row["completion_ids"]) - z0)
        losses.append(weight * (1 - 1 / (1 + math.exp(-value))))
    assert theirs == pytest.approx(sum(losses) / 3, rel=1e-3)
    assert abs(theirs - 0.5 * (1.5 + 0.5 + 1.5) / 3) > 0.01  # the adapter matters


def test_the_kl_is_that_of_the_logits(tiny: Path, tokenizer: ChatTokenizer) -> None:
    """By another path: the merged model's and the base's logits of transformers on the same draws."""
    from transformers import AutoModelForCausalLM

    from rlhf.training.model.adapter import Adapter
    from rlhf.training.model.sampler import sample

    transformer = Transformer.load(tiny, adapted_layers=2, dtype=torch.float32)
    adapter = Adapter.create(transformer, rank=2, alpha=4.0)
    disturb(adapter, spread=0.15)
    prompts = [tokenizer.prompt_ids([{"role": "user", "content": prompt}]) for prompt in PROMPTS]
    config = WayConfig(max_tokens=7, temperature=0.8)
    found = kl.measure(transformer, adapter, prompts, config, seed=4, poll=lambda: None)
    rollout = sample(transformer, prompts, max_tokens=7, temperature=0.8, seed=4, adapter=adapter)
    models = [AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32) for _ in range(2)]
    models[0].load_state_dict(adapter.merge_into(models[0].state_dict()))
    total = 0.0
    for ids, start, end in zip(rollout.ids, rollout.prompt_lengths, rollout.lengths, strict=True):
        tokens = ids[:end]
        with torch.no_grad():
            logs = [torch.log_softmax(m(tokens[None]).logits[0] / 0.8, -1) for m in models]
        for at in range(int(start), int(end)):
            total += float(logs[0][at - 1, tokens[at]] - logs[1][at - 1, tokens[at]])
    assert found.kl_nats == pytest.approx(total / 3, rel=1e-3)
    assert found.tokens == pytest.approx(float(rollout.completion_lengths.float().mean()))
    assert abs(found.kl_nats) > 0.05


def kto_example(prompt: list[int], reply: list[int]) -> Any:
    from rlhf.training.fine_tuning.examples import replying

    return replying(prompt, reply)


def _silent() -> Any:
    from transformers import TrainerCallback

    return TrainerCallback()
