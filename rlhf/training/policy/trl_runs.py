"""What TRL's trainers need to run as a way: the base under LoRA, reports, the KL stop, and whole checkpoints."""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from rlhf.training.model.adapter import Adapter
from rlhf.training.model.transformer import Transformer
from rlhf.training.policy.config import WayConfig
from rlhf.training.policy.inputs import PolicyInputs
from rlhf.training.run import RunDirectory, Stopped

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
FORMER, WHOLE = "former.safetensors", "whole.json"


def arguments(directory: RunDirectory, config: WayConfig, *, rows: int, save_steps: int) -> dict[str, Any]:
    """Settings that all of TRL's trainers have."""
    return {
        "output_dir": str(directory.checkpoint),
        "per_device_train_batch_size": rows,
        "learning_rate": config.learning_rate,
        "max_grad_norm": config.max_grad_norm,
        "bf16": False,  # the weights are bf16 and the adapter fp32; TRL's flag would add autocast
        "use_cpu": not torch.cuda.is_available(),
        "activation_checkpointing": False,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": save_steps,
        "save_total_limit": 2,  # a kill while one is written leaves the other
        "report_to": [],
        "disable_tqdm": True,
        "seed": directory.seed,
    }


def model(base: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.bfloat16, trust_remote_code=False)


def lora(config: WayConfig, transformer: Transformer) -> Any:
    """PEFT's configuration of the adapter that ours has over this transformer's top."""
    from peft import LoraConfig

    return LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        target_modules=TARGETS,
        layers_to_transform=list(range(transformer.trunk_layers, transformer.config.layers)),
        task_type="CAUSAL_LM",
    )


def tokenizer_of(inputs: PolicyInputs) -> Any:
    found = inputs.tokenizer.tokenizer
    found.pad_token_id = inputs.tokenizer.padding_id
    found.padding_side = "left"
    return found


def train(trainer: Any, directory: RunDirectory) -> int:
    """Train to the end, from the newest whole checkpoint; returns the steps. Raises Stopped."""
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    found = _newest_checkpoint(directory.checkpoint)
    trainer.train(resume_from_checkpoint=str(found) if found else None)
    if directory.should_stop() and trainer.state.global_step < trainer.args.max_steps:
        raise Stopped
    return int(trainer.state.global_step)


def adapter_of(trained: Any, transformer: Transformer, config: WayConfig) -> Adapter:
    """A PEFT model's adapter as ours."""
    from peft import get_peft_model_state_dict

    adapter = Adapter.create(transformer, rank=config.rank, alpha=config.alpha)
    adapter.load_state({name: tensor.float() for name, tensor in get_peft_model_state_dict(trained).items()})
    return adapter


def trainable(trained: Any) -> list[Tensor]:
    return [parameter for parameter in trained.parameters() if parameter.requires_grad]


def put_back(trained: Any, tensors: Sequence[Tensor]) -> None:
    """Overwrite the trained parameters in place."""
    with torch.no_grad():
        for parameter, tensor in zip(trainable(trained), tensors, strict=True):
            parameter.copy_(tensor)


def reporting_callback(directory: RunDirectory, steps: int, on_step: Callable[[int, dict[str, float]], bool]) -> Any:
    """A callback that reports each step, keeps the weights of the step before, and stops on request or at the KL.

    `on_step(step, logged)` adds to what was logged and says whether the KL is past the limit, when the model gets the
    weights before those that were measured last.
    """
    from transformers import TrainerCallback

    class ReportingCallback(TrainerCallback):  # type: ignore[misc]
        stopped_by = "steps"
        former: list[Tensor] | None = None  # weights last measured within the limit
        current: list[Tensor] | None = None  # weights of this step, before its update

        def on_step_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            self.current = _clones(given["model"])
            if self.former is None:
                self.former = _former(args.output_dir, state.global_step) or self.current

        def on_log(self, args: Any, state: Any, control: Any, **given: Any) -> Any:
            logs = given.get("logs") or {}
            if "train_runtime" in logs:  # the summary
                return control
            values = {name: float(value) for name, value in logs.items() if isinstance(value, int | float)}
            is_past = on_step(state.global_step, values)
            directory.report(state.global_step, steps, values)
            if is_past:
                self.stopped_by = "kl"
                put_back(given["model"], self.former or self.current or [])
                control.should_training_stop = True
                control.should_save = False
            else:
                self.former = self.current
                self._stop_if_asked(control)
            return control

        def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> Any:
            self._stop_if_asked(control)
            return control

        def _stop_if_asked(self, control: Any) -> None:
            if directory.should_stop():
                control.should_save = control.should_training_stop = True

        def on_save(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            save_file({str(index): one.contiguous() for index, one in enumerate(self.former or [])}, folder / FORMER)
            _mark_whole(folder)

    return ReportingCallback()


def _newest_checkpoint(folder: Path) -> Path | None:
    """The newest whole one; those that a kill or a fault left damaged are removed."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]), reverse=True)
    for checkpoint in found:
        if _is_whole(checkpoint):
            return checkpoint
        shutil.rmtree(checkpoint)
    return None


def _clones(trained: Any) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in trainable(trained)]


def _former(output: str, step: int) -> list[Tensor] | None:
    path = Path(output) / f"checkpoint-{step}" / FORMER
    if not step or not path.exists():
        return None
    saved = load_file(path)
    return [saved[str(index)] for index in range(len(saved))]


def _hashes(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != WHOLE)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _mark_whole(folder: Path) -> None:
    """Written last, with the hash of every file."""
    draft = folder / f"{WHOLE}.tmp"
    draft.write_text(json.dumps(_hashes(folder)))
    draft.rename(folder / WHOLE)


def _is_whole(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / WHOLE).read_text()) == _hashes(folder))
    except (OSError, ValueError):
        return False


def history(folder: Path) -> list[dict[str, Any]]:
    """What was logged up to the checkpoint that training goes on from."""
    found = _newest_checkpoint(folder)
    if found is None:
        return []
    logged: list[dict[str, Any]] = json.loads((found / "trainer_state.json").read_text())["log_history"]
    return logged
