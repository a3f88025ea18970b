"""Two random policies over one base, each as a whole file of llama.cpp and as a LoRA adapter in its format."""

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import gguf
import torch

from rlhf.training.artefacts import gguf_export
from rlhf.training.artefacts.gguf_families import family_of
from rlhf.training.artefacts.policy_directory import weights, write_weights
from rlhf.training.model.adapter import Adapter
from rlhf.training.model.transformer import Transformer
from tests.bench.vllm_servers import write_adapter


@dataclass(frozen=True)
class Forms:
    """Files of one policy."""

    whole: Path
    adapter: Path
    exact: Path
    """Whole, in f32: what the others are held against."""
    whole_mb: float
    adapter_mb: float
    whole_s: float
    """How long each took to write, of an adapter in memory."""
    adapter_s: float


def write(base: Path, folder: Path, seed: int) -> Forms:
    """A random adapter of the size that training writes."""
    write_adapter(base, folder / "peft", seed)
    adapter = Adapter.load(folder / "peft", Transformer.load(base))
    forms = [folder / f"{name}.gguf" for name in ("whole", "adapter", "exact")]
    started = time.perf_counter()
    state = weights(base)
    exact = adapter.merged_matrices({name: tensor.float() for name, tensor in state.items()})
    write_weights(folder, base, state)
    gguf_export.export(folder, forms[0], kind="q8_0", exact=exact)
    whole_s = time.perf_counter() - started
    started = time.perf_counter()
    write_gguf(base, adapter, forms[1])
    adapter_s = time.perf_counter() - started
    gguf_export.export(folder, forms[2], kind="f32", exact=exact)
    (folder / "model.safetensors").unlink()
    shutil.rmtree(folder / "peft")
    whole_mb, adapter_mb = (path.stat().st_size / 1e6 for path in forms[:2])
    return Forms(*forms, whole_mb, adapter_mb, whole_s, adapter_s)


def write_gguf(base: Path, adapter: Adapter, target: Path) -> None:
    """In fp32. The rows of b are those of the projection's outputs, so they are permuted as its are."""
    config = json.loads((base / "config.json").read_text())
    family, heads = family_of(config), config["num_attention_heads"]
    turned = {".q_proj": heads, ".k_proj": config.get("num_key_value_heads") or heads} if family.interleaves else {}
    writer = gguf.GGUFWriter(str(target), family.name)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, adapter.alpha)
    for name, (a, b, _) in adapter.named().items():
        rows = next((rows for sign, rows in turned.items() if name.endswith(sign)), None)
        b = b if rows is None else gguf_export.permute(b, rows)
        there = family.tensor_name(f"{name}.weight")
        for side, matrix in (("lora_a", a), ("lora_b", b)):
            writer.add_tensor(f"{there}.{side}", matrix.detach().to(torch.float32).contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
