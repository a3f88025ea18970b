"""TRL's RLOO and GRPO trainers behind the run interface, on the same reward model as our PPO."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from rlhf.training.artefacts import policy_directory
from rlhf.training.hyperparameters import build, require
from rlhf.training.ppo.config import PpoConfig
from rlhf.training.reward import model as reward_model
from rlhf.training.reward.functions import ChamsaeReward
from rlhf.training.run import RunDirectory, Stopped
from rlhf.training.snapshot.files import TRAIN, PromptRow, SnapshotFiles, thaw
from rlhf.training.snapshot.fitting import fit_prompts

ALGORITHMS = ("rloo", "grpo")
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@dataclass(frozen=True)
class PeerConfig:
    """The settings that our PPO and TRL's trainers share; TRL's names."""

    steps: int = 24
    prompts_per_step: int = 4
    num_generations: int = 4
    max_prompt_tokens: int = 512
    max_completion_length: int = 48
    temperature: float = 0.7
    learning_rate: float = 3e-4
    beta: float = 0.05
    rank: int = 16
    alpha: float = 32.0
    save_steps: int = 10
    stop_kl: float = 6.5
    violation_weight: float = 2.0
    missing_eos_penalty: float = 1.0

    def validate(self) -> None:
        """Raise BadHyperparameter."""
        for name in ("steps", "prompts_per_step", "max_prompt_tokens", "max_completion_length", "rank", "save_steps"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "must be at least 1")
        require(self.num_generations >= 2, "num_generations", self.num_generations, "must be at least 2")
        for name in ("temperature", "learning_rate", "alpha", "stop_kl"):
            require(getattr(self, name) > 0, name, getattr(self, name), "must be above 0")
        for name in ("beta", "violation_weight", "missing_eos_penalty"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "must not be negative")


def run(directory: RunDirectory, algorithm: str) -> dict[str, Any]:
    from transformers import PrinterCallback

    config = build(PeerConfig, directory.hyperparameters)
    base, judge = directory.directory("base"), directory.directory("reward_model")
    shaping = PpoConfig(violation_weight=config.violation_weight, missing_eos_penalty=config.missing_eos_penalty)
    reward = ChamsaeReward.load(judge, shaping, base)
    fitted = fit_prompts(
        SnapshotFiles.load(directory.directory("snapshot")), reward.tokenizer, config.max_prompt_tokens
    )
    snapshot = fitted.snapshot
    layers = reward_model.read_config(judge)["adapted_layers"]
    callback = _reporting_callback(directory, config)
    trainer = _trainer(algorithm, config, base, reward, snapshot.prompts_of(TRAIN), directory, layers, callback)
    saved = sorted(directory.checkpoint.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=str(saved[-1]) if saved else None)
    if directory.should_stop() and trainer.state.global_step < config.steps:
        raise Stopped
    steps = int(trainer.state.global_step)
    facts = {
        "algorithm": algorithm,
        "kl_nats": callback.kl_nats,
        "steps": steps,
        "episodes": steps * config.prompts_per_step * config.num_generations,
        "stopped_by": callback.stopped_by,
        **fitted.counts,
    }
    policy_directory.publish(
        directory.directory("output"),
        base=base,
        state=_merged_state(trainer.model, policy_directory.weights(base)),
        served=directory.served,
        simulated=snapshot.simulated,
        facts=facts | {"reward model": judge.name, "seed": directory.seed, "hyperparameters": asdict(config)},
    )
    return facts | {"output": str(directory.directory("output"))}


def _trainer(
    algorithm: str,
    config: PeerConfig,
    base: Path,
    reward: ChamsaeReward,
    prompts: Sequence[PromptRow],
    directory: RunDirectory,
    adapted_layers: int,
    callback: Any,
) -> Any:
    import trl
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM

    settings, kind = {
        "rloo": (trl.RLOOConfig, trl.RLOOTrainer),
        "grpo": (trl.GRPOConfig, trl.GRPOTrainer),
    }[algorithm]
    model = AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.bfloat16, trust_remote_code=False)
    last = model.config.num_hidden_layers
    tokenizer = reward.tokenizer.tokenizer
    tokenizer.pad_token_id = reward.tokenizer.padding_id
    tokenizer.padding_side = "left"
    rows = config.prompts_per_step * config.num_generations
    on_cpu = not torch.cuda.is_available()
    arguments = settings(
        output_dir=str(directory.checkpoint),
        max_steps=config.steps,
        per_device_train_batch_size=rows,
        num_generations=config.num_generations,
        max_completion_length=config.max_completion_length,
        temperature=config.temperature,
        learning_rate=config.learning_rate,
        beta=config.beta,
        bf16=False,  # the weights are bf16 and the adapter fp32; TRL's flag would add autocast
        use_cpu=on_cpu,
        activation_checkpointing=False,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=config.save_steps,
        save_total_limit=1,
        report_to=[],
        disable_tqdm=True,
        seed=directory.seed,
        chat_template_kwargs={"sanitize_control_tokens": True},
    )
    return kind(
        model=model,
        reward_funcs=[reward],
        args=arguments,
        train_dataset=Dataset.from_list([{"prompt": thaw(row.prompt)} for row in prompts]),
        processing_class=tokenizer,
        callbacks=[callback],
        peft_config=LoraConfig(
            r=config.rank,
            lora_alpha=config.alpha,
            target_modules=TARGETS,
            layers_to_transform=list(range(last - adapted_layers, last)),
            task_type="CAUSAL_LM",
        ),
    )


def _reporting_callback(directory: RunDirectory, config: PeerConfig) -> Any:
    """A Trainer callback that reports, and stops on request or at the KL."""
    from transformers import TrainerCallback

    class ReportingCallback(TrainerCallback):  # type: ignore[misc]
        kl_nats: float | None = None
        stopped_by = "steps"

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
            values = {name: value for name, value in (logs or {}).items() if isinstance(value, int | float)}
            if "kl" not in values:
                return
            # TRL logs nats a token; ours are nats a completion
            self.kl_nats = float(values["kl"] * values.get("completions/mean_length", 1.0))
            directory.report(state.global_step, config.steps, {**values, "objective/kl": self.kl_nats})

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
            if directory.should_stop():
                control.should_save = control.should_training_stop = True
            elif self.kl_nats is not None and self.kl_nats > config.stop_kl:
                self.stopped_by = "kl"
                control.should_training_stop = True
            return control

    return ReportingCallback()


def _merged_state(model: Any, base: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The trained weights under the base's names; tied copies that the base does not save are left out."""
    state = model.merge_and_unload().state_dict()
    return {name: state[name].detach() for name in base}
