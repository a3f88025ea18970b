"""What TRL's trainers need to run as a way: the base under LoRA, reports, the KL stop, and whole checkpoints."""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from rlhf.training.hyperparameters import require
from rlhf.training.model.adapter import Adapter
from rlhf.training.model.choice import DTYPES, Placement
from rlhf.training.model.decoder import Decoder
from rlhf.training.policy.config import WayConfig
from rlhf.training.policy.inputs import PolicyInputs
from rlhf.training.run import RunDirectory, Stopped

FORMER, WHOLE = "former.safetensors", "whole.json"
REFERENCE = "ref"


@dataclass
class TrlDevice(Exception):
    """TRL's trainers would compute elsewhere than the run: they take the first card, or spread rows over all."""

    wanted: str
    chosen: str
    cards: int

    def __str__(self) -> str:
        return (
            f"the run's device is {self.wanted}, but TRL's trainers take {self.chosen} with {self.cards} cards: show "
            "one card alone to the site's worker (CUDA_VISIBLE_DEVICES) and leave CHAMSAE_TRAINING_DEVICE out, or "
            "train another way"
        )


def require_whole_weights(placement: Placement) -> None:
    """Over weights of few bits TRL rounds the adapter to bf16, which is coarser than a step. Raises
    BadHyperparameter."""
    reason = "TRL's ways need whole weights: set CHAMSAE_TRAINING_BITS=16, or train another way"
    require(placement.bits == 16, "bits", placement.bits, reason)


def require_device(placement: Placement, args: Any) -> None:
    """`args`: of a trainer. Raises TrlDevice."""
    wanted, chosen = torch.device(placement.real_device), args.device
    is_same = (wanted.type, wanted.index or 0) == (chosen.type, chosen.index or 0)
    if not is_same or args.n_gpu > 1:
        raise TrlDevice(str(wanted), str(chosen), args.n_gpu)


def arguments(directory: RunDirectory, config: WayConfig, *, rows: int, save_steps: int) -> dict[str, Any]:
    """Settings that all of TRL's trainers have."""
    return {
        "output_dir": str(directory.checkpoint),
        "per_device_train_batch_size": rows,
        "learning_rate": config.learning_rate,
        "max_grad_norm": config.max_grad_norm,
        "bf16": False,  # the weights are bf16 and the adapter fp32; TRL's flag would add autocast
        "use_cpu": directory.placement.real_device == "cpu",
        "activation_checkpointing": directory.placement.checkpointing,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": save_steps,
        "save_total_limit": 2,  # a kill while one is written leaves the other
        "report_to": [],
        "disable_tqdm": True,
        "seed": directory.seed,
    }


def model(base: Path, placement: Placement) -> Any:
    from transformers import AutoModelForCausalLM

    dtype = DTYPES[placement.dtype]
    return AutoModelForCausalLM.from_pretrained(str(base), dtype=dtype, trust_remote_code=False)


def lora(config: WayConfig, transformer: Decoder) -> Any:
    """PEFT's configuration of the adapter that ours has over this transformer's top."""
    from peft import LoraConfig

    return LoraConfig(**Adapter.create(transformer, rank=config.rank, alpha=config.alpha).peft_config())


def begin_at(trained: Any, start: Adapter | None, reference: str) -> None:
    """Give a trainer's fresh adapter the parameters of `start`.

    TRL's reference is the base without an adapter, or, where the model has one, the frozen adapter named "ref".
    """
    from peft import set_peft_model_state_dict

    if start is None:
        return
    set_peft_model_state_dict(trained, start.state())
    if reference == "live":
        trained.add_adapter(REFERENCE, trained.peft_config["default"])
        set_peft_model_state_dict(trained, start.state(), adapter_name=REFERENCE)
        for name, parameter in trained.named_parameters():
            if f".{REFERENCE}." in name:
                parameter.requires_grad_(False)


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


def adapter_of(trained: Any, transformer: Decoder, config: WayConfig) -> Adapter:
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
            former = {str(index): one.cpu().contiguous() for index, one in enumerate(self.former or [])}
            save_file(former, folder / FORMER)
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
