"""Fine-tuning by reinforcement learning: PPO on the prompts of a file against the site's reward model."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rlhf.training.artefacts import policy_directory
from rlhf.training.fine_tuning import held_out
from rlhf.training.fine_tuning.comparison import PROMPTS_AT_ONCE, SAMPLES, shown_prompt
from rlhf.training.fine_tuning.config import FineTuneConfig
from rlhf.training.fine_tuning.examples import prompt_ids
from rlhf.training.fine_tuning.progress import without_repeats
from rlhf.training.fine_tuning.results import FILE
from rlhf.training.fine_tuning.rows import DataRow, read_prompts
from rlhf.training.fine_tuning.scopes import count
from rlhf.training.hyperparameters import require
from rlhf.training.model.adapter import Adapter
from rlhf.training.model.decoder import Decoder
from rlhf.training.model.sampler import sample
from rlhf.training.ppo.config import PpoConfig
from rlhf.training.ppo.train import PpoResult, train_ppo
from rlhf.training.reward import model as reward_model
from rlhf.training.reward.model import RewardModel
from rlhf.training.run import RunDirectory, Stopped
from rlhf.training.texts import has_sentence, words
from rlhf.training.tokens import ChatTokenizer

COMMON = frozenset({"n_epochs", "batch_size", "learning_rate_multiplier", "beta"})
"""Hyperparameters of every fine-tune, translated to PPO's here; any other name is one of PPO's."""
COLUMNS = ("step", "elapsed_tokens", "elapsed_examples", "score", "p_violation", "kl_nats", "training_loss")


@dataclass(frozen=True)
class PpoSchedule:
    """PPO's settings, and how its iterations add up to epochs over the prompts."""

    ppo: PpoConfig
    prompts: int

    @classmethod
    def read(cls, given: Mapping[str, Any], prompts: int) -> "PpoSchedule":
        """From a run's hyperparameters. Raises BadHyperparameter."""
        chosen = {name: value for name, value in given.items() if value not in (None, "auto")}
        common = FineTuneConfig.read({name: chosen[name] for name in COMMON & chosen.keys()})
        ppo = PpoConfig.read({name: value for name, value in chosen.items() if name not in COMMON})
        ppo = replace(
            ppo,
            prompts_per_iteration=min(common.batch_size or ppo.prompts_per_iteration, prompts),
            learning_rate=ppo.learning_rate * (common.learning_rate_multiplier or 1.0),
            kl_coef=common.beta if "beta" in chosen else ppo.kl_coef,
        )
        if common.n_epochs:
            ppo = replace(ppo, iterations=math.ceil(common.n_epochs * prompts / ppo.prompts_per_iteration))
        return cls(ppo, prompts)

    @property
    def n_epochs(self) -> int:
        return max(1, math.floor(self.epoch(self.ppo.iterations)))

    def epoch(self, iteration: int) -> float:
        return iteration * self.ppo.prompts_per_iteration / self.prompts

    def epochs_at(self, iteration: int, *, is_last: bool) -> dict[str, float]:
        done = min(int(self.epoch(iteration)), self.n_epochs)
        return {
            "epoch": round(self.epoch(iteration), 4),
            "epochs_done": self.n_epochs if is_last else done,
            "n_epochs": self.n_epochs,
        }


def run(directory: RunDirectory) -> dict[str, Any]:
    require(directory["scope"] == "lora", "scope", directory["scope"], "reinforcement trains LoRA adapters only")
    base, judge = directory.directory("base"), directory.directory("reward_model")
    tokenizer = ChatTokenizer.load(base)
    training, held_out_rows = _read_prompts(directory)
    schedule = PpoSchedule.read(directory.hyperparameters, len(training))
    transformer = directory.load_base(base, adapted_layers=int(reward_model.read_config(judge)["adapted_layers"]))
    known = [directory.directory("root")] if directory.config.get("root") else []
    rewards = reward_model.load_for(judge, transformer, base, known)
    report_new = without_repeats(directory)

    def report(step: int, steps: int, metrics: Mapping[str, float]) -> None:
        values = {"train/loss": metrics["loss/policy_avg"], "train/learning_rate": metrics["lr"]}
        report_new(step, steps, {**metrics, **values, **schedule.epochs_at(step, is_last=step == steps)})

    found = train_ppo(
        transformer,
        _encode(training, tokenizer, schedule.ppo.max_prompt_tokens),
        rewards,
        schedule.ppo,
        seed=directory.seed,
        directory=directory.checkpoint,
        report=report,
        should_stop=directory.should_stop,
        count_words=lambda ids: len(words(tokenizer.decode(ids))),
        speaks=lambda ids: has_sentence(tokenizer.decode(ids)),
    )
    if found.stopped_by == "cancelled":
        raise Stopped
    models = BaseAndTuned(directory, transformer, tokenizer, rewards, schedule.ppo)
    comparison = models.compare(held_out_rows, found.adapter) if held_out_rows else None
    return _finish(directory, found, schedule, comparison)


def _read_prompts(directory: RunDirectory) -> tuple[list[DataRow], list[DataRow]]:
    """(to sample from, held out)"""
    form, given = str(directory["form"]), directory.config
    rows = list(dict.fromkeys(read_prompts(Path(directory["data"]), form)))
    validation = read_prompts(Path(given["validation"]), form) if given.get("validation") else None
    share = float(given.get("hold_out", held_out.SHARE))
    return held_out.split(rows, validation, share=share, seed=directory.seed)


def _encode(rows: Sequence[DataRow], tokenizer: ChatTokenizer, max_prompt_tokens: int) -> list[list[int]]:
    return [prompt_ids(row.prompt, tokenizer, limit=max_prompt_tokens) for row in rows]


@dataclass(frozen=True)
class BaseAndTuned:
    """The base and the policy trained from it, answering the same held-out prompts."""

    directory: RunDirectory
    transformer: Decoder
    tokenizer: ChatTokenizer
    rewards: RewardModel
    ppo: PpoConfig

    def compare(self, held_out_rows: Sequence[DataRow], adapter: Adapter) -> dict[str, Any]:
        """Mean scores and samples; a file of prompts has no wanted answers, and few-shot is not compared."""
        rows = held_out.pick(held_out_rows, held_out.MOST, self.directory.seed)
        sides = {"base": self._run_model(rows, None), "fine_tuned": self._run_model(rows, adapter)}
        samples = [
            {"prompt": shown_prompt(row.prompt), "wanted": None, "few_shot": None}
            | {name: texts[index] for name, (texts, _) in sides.items()}
            for index, row in enumerate(rows[:SAMPLES])
        ]
        figures = {name: figures for name, (_, figures) in sides.items()}
        return {"held_out": len(rows), "shots": 0, "few_shot": None, **figures, "samples": samples}

    def _run_model(
        self, rows: Sequence[DataRow], adapter: Adapter | None
    ) -> tuple[list[str], dict[str, float | None]]:
        texts: list[str] = []
        totals = [0.0, 0.0]
        ids = _encode(rows, self.tokenizer, self.ppo.max_prompt_tokens)
        for start in range(0, len(ids), PROMPTS_AT_ONCE):
            self.directory.stop_if_asked()
            rollout = sample(
                self.transformer,
                ids[start : start + PROMPTS_AT_ONCE],
                max_tokens=self.ppo.max_tokens,
                temperature=self.ppo.temperature,
                seed=self.directory.seed + start,
                adapter=adapter,
            )
            for index, part in enumerate(self.rewards.score(rollout, rollout.states)):
                totals[index] += float(part.sum())
            texts += [self.tokenizer.decode(found) for found in rollout.completions()]
        figures: dict[str, float | None] = {"loss": None, "perplexity": None, "exact_match": None}
        return texts, figures | {"score": totals[0] / len(ids), "p_violation": totals[1] / len(ids)}


def _finish(
    directory: RunDirectory, found: PpoResult, schedule: PpoSchedule, comparison: dict[str, Any] | None
) -> dict[str, Any]:
    """Publish the policy and return the result."""
    base = directory.directory("base")
    state = policy_directory.weights(base)
    figures = {
        "trained_tokens": sum(_rollout_tokens(metrics, schedule.ppo) for metrics in found.metrics),
        "n_epochs": schedule.n_epochs,
        "batch_size": schedule.ppo.prompts_per_iteration,
        "learning_rate_multiplier": schedule.ppo.learning_rate / PpoConfig().learning_rate,
        "parameters": count(list(state.values())),
        "parameters_trained": count(found.adapter.parameters()),
        "train_loss": found.metrics[-1]["loss/policy_avg"] if found.metrics else None,
        "eval_loss": None,
        "kl_nats": found.kl_nats,
        "steps": found.iterations,
        "stopped_by": found.stopped_by,
    }
    judge = directory.directory("reward_model").name
    facts = {"method": "reinforcement", "reward model": judge, **figures, "hyperparameters": schedule.ppo.as_json()}
    if comparison:
        facts |= {f"held out: {side}": comparison[side] for side in ("base", "fine_tuned")}
    simulated = ("simulated-feedback",) if directory.config.get("simulated") else ()
    provenance = policy_directory.Provenance(
        text="Fine-tuned from `{base}` by reinforcement learning (PPO) on a file of prompts: LoRA adapters, merged. "
        "Weights are in bf16.",
        facts=facts | dict(directory.config.get("facts") or {}),
        tags=("fine-tune", "reinforcement", "lora", *simulated),
        title=directory.config.get("label"),
    )
    merged = found.adapter.merge_into(state)
    policy_directory.publish(
        directory.directory("output"), provenance, base=base, state=merged, served=directory.served
    )
    _write_csv(directory.path / FILE, found, schedule.ppo)
    return {
        "output": str(directory.directory("output")),
        **figures,
        "results_csv": FILE,
        "checkpoints": _checkpoints(found, schedule),
        "comparison": comparison,
    }


def _rollout_tokens(metrics: Mapping[str, float], ppo: PpoConfig) -> int:
    """Tokens of the completions that an iteration learnt from."""
    return round(metrics["length/mean"] * ppo.rows * ppo.num_ppo_epochs)


def _checkpoints(found: PpoResult, schedule: PpoSchedule) -> list[dict[str, Any]]:
    """Figures at the end of each epoch over the prompts."""
    made = []
    for epoch in range(1, schedule.n_epochs + 1):
        step = math.ceil(epoch * schedule.prompts / schedule.ppo.prompts_per_iteration)
        if 0 < step <= len(found.metrics):
            metrics = found.metrics[step - 1]
            figures = {"train_loss": metrics["loss/policy_avg"], "eval_loss": None, "eval_token_accuracy": None}
            made.append({"step": step, "epoch": epoch, **figures, "score": metrics["objective/scores"]})
    return made


def _write_csv(path: Path, found: PpoResult, ppo: PpoConfig) -> None:
    """One line for each iteration; without wanted answers the columns are PPO's."""
    tokens = 0
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for step, metrics in enumerate(found.metrics, 1):
            tokens += _rollout_tokens(metrics, ppo)
            names = ("objective/scores", "reward/violation", "objective/kl", "loss/policy_avg")
            writer.writerow([step, tokens, step * ppo.rows, *(f"{metrics[name]:.6f}" for name in names)])
