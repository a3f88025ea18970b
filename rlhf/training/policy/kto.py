"""TRL's KTO trainer as a way to train a policy: on replies that were found good or bad, without a reward model.

Ethayarajh et al., arXiv:2402.01306, equations 7 and 8. Good and bad come from thumbs, from the ends of rankings and
from flags (replies.py).
"""

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rlhf.training.artefacts.resume import Checkpointer
from rlhf.training.hyperparameters import require
from rlhf.training.model.decoder import Decoder
from rlhf.training.policy import publishing, replies, trl_runs
from rlhf.training.policy.config import FittedConfig
from rlhf.training.policy.fitted import identity_of, load_base
from rlhf.training.policy.inputs import PolicyInputs
from rlhf.training.policy.kl import KlStop
from rlhf.training.policy.replies import JudgedReply, NothingToFit, ReplyEncoder
from rlhf.training.run import RunDirectory

Rows = list[dict[str, Any]]
"""prompt_ids, completion_ids, label."""


@dataclass(frozen=True)
class KtoConfig(FittedConfig):
    """The weight of each side is chosen by how many replies it has (replies.balanced)."""

    beta: float = 0.1
    save_steps: int = 10

    def validate(self) -> None:
        super().validate()
        self._above_zero("beta")
        self._at_least(1, "save_steps")
        require(self.batch_size >= 2, "batch_size", self.batch_size, "must be at least 2: KTO pairs within a batch")


def run(directory: RunDirectory) -> dict[str, Any]:
    trl_runs.require_whole_weights(directory.placement)
    asked = KtoConfig.read(directory.hyperparameters)
    inputs = PolicyInputs.read(directory, asked.max_prompt_tokens)
    config = inputs.shaped(asked)
    found = replies.judged(inputs.snapshot, inputs.tokenizer, config.max_prompt_tokens)
    encoder = ReplyEncoder(inputs.tokenizer, config.max_tokens)
    rows = _encoded(found, encoder, batch_size=config.batch_size, seed=directory.seed)
    transformer = load_base(directory, inputs, config)
    checks = KlChecks(directory, inputs, config, transformer, rows)
    callback = trl_runs.reporting_callback(directory, checks.steps, checks.on_step)
    trainer = checks.trainer = make_trainer(
        config, inputs, rows, replies.balanced(found), directory, transformer, callback
    )
    trl_runs.begin_at(trainer.model, checks.kl.start, config.reference)
    checks.kl.begin()
    steps = trl_runs.train(trainer, directory)
    adapter = trl_runs.adapter_of(trainer.model, transformer, config)
    stopped_by = callback.stopped_by
    if stopped_by == "kl" or (checks.kl.steps < steps and not checks.kl.holds(adapter, steps)):
        checks.kl.fall_back(adapter)
        stopped_by, steps = "kl", checks.kl.steps
    facts = {
        "algorithm": "kto",
        **checks.kl.facts(),
        "steps": steps,
        "examples": len(rows),
        "stopped_by": stopped_by,
        **inputs.start_facts(asked),
    }
    return publishing.publish(directory, inputs, adapter, facts, asdict(config))


def _encoded(found: list[JudgedReply], encoder: ReplyEncoder, *, batch_size: int, seed: int) -> Rows:
    """In a seeded order, which TRL keeps: it estimates the KL from neighbours. Replies without a token are left out.

    Raises NothingToFit.
    """
    rows = []
    for one in found:
        prompt, completion = encoder.ids(one.reply)
        if completion:
            rows.append({"prompt_ids": prompt, "completion_ids": completion, "label": one.is_good})
    if len(rows) < 2:
        raise NothingToFit("two replies that were found good or bad")
    random.Random(f"{seed}/kto").shuffle(rows)
    return rows[:-1] if len(rows) % batch_size == 1 else rows  # a batch of one has no neighbour


def _steps_of(config: KtoConfig, rows: Rows) -> int:
    return config.n_epochs * -(-len(rows) // config.batch_size)


class KlChecks:
    """Measures the KL now and then: what TRL calls KL is that of others' replies."""

    def __init__(
        self, directory: RunDirectory, inputs: PolicyInputs, config: KtoConfig, transformer: Decoder, rows: Rows
    ) -> None:
        self.config, self.transformer, self.trainer = config, transformer, None
        self.steps = _steps_of(config, rows)
        self.every = max(1, -(-self.steps // config.kl_checks))
        identity = identity_of(directory, inputs, asdict(config), transformer)
        self.kl = KlStop.over(
            transformer,
            inputs.prompt_ids(),
            config,
            seed=directory.seed,
            checkpointer=Checkpointer(directory.checkpoint / "within", identity),
            poll=lambda: None,
            start=inputs.starting_adapter(transformer, seed=directory.seed),
        )

    def on_step(self, step: int, values: dict[str, float]) -> bool:
        if "rewards/margins" in values:
            values["margin"] = values["rewards/margins"]
        if step % self.every:
            return False
        assert self.trainer is not None
        is_past = not self.kl.holds(trl_runs.adapter_of(self.trainer.model, self.transformer, self.config), step)
        values |= self.kl.figures()
        return is_past


def make_trainer(
    config: KtoConfig,
    inputs: PolicyInputs,
    rows: Rows,
    weights: tuple[float, float],
    directory: RunDirectory,
    transformer: Decoder,
    callback: Any,
) -> Any:
    """TRL's trainer on token ids: it would tokenize texts anew and end every reply, also one that was cut."""
    import trl
    from datasets import Dataset

    class TokenizedKtoTrainer(trl.KTOTrainer):  # type: ignore[misc]
        def _prepare_dataset(self, dataset: Any, processing_class: Any, args: Any, dataset_name: str) -> Any:
            return dataset.map(_with_neighbours, batched=True, batch_size=args.per_device_train_batch_size)

    steps = _steps_of(config, rows)
    arguments = trl.KTOConfig(
        **trl_runs.arguments(directory, config, rows=config.batch_size, save_steps=config.save_steps),
        max_steps=steps,
        max_length=None,
        beta=config.beta,
        warmup_steps=round(config.warmup_share * steps),
        weight_decay=config.weight_decay,
        desirable_weight=weights[0],
        undesirable_weight=weights[1],
    )
    trl_runs.require_device(directory.placement, arguments)
    return TokenizedKtoTrainer(
        model=trl_runs.model(inputs.base, directory.placement),
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=trl_runs.tokenizer_of(inputs),
        callbacks=[callback],
        peft_config=trl_runs.lora(config, transformer),
    )


def _with_neighbours(rows: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """Each prompt of a batch beside the completion of another, which TRL estimates the KL from."""
    completions = rows["completion_ids"]
    return {**rows, "KL_completion_ids": [completions[-1], *completions[:-1]]}
