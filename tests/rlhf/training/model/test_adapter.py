"""Adapters against PEFT, and the ways to apply one against each other."""

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import LlamaForCausalLM

from rlhf.training.model.adapter import Adapter, AdapterMismatch
from rlhf.training.model.transformer import Transformer
from tests.rlhf.training.core_tiny import disturb, tiny_llama, write_llama

IDS = torch.randint(0, 40, (2, 11), generator=torch.Generator().manual_seed(3))


def logits(ours: Transformer, adapter: Adapter | None = None) -> torch.Tensor:
    with torch.no_grad():
        return ours.logits(ours.run_top(ours.run_trunk(IDS), adapter))


def test_a_fresh_adapter_is_the_reference(tmp_path: Path) -> None:
    ours = tiny_llama(tmp_path)
    assert torch.equal(logits(ours, Adapter.create(ours, rank=4)), logits(ours))


def test_peft_reads_what_we_write_and_computes_the_same(tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "base")
    ours = Transformer.load(folder, dtype=torch.float32, adapted_layers=2)
    adapter = Adapter.create(ours, rank=4, alpha=8)
    disturb(adapter)
    adapter.save(tmp_path / "adapter", base=str(folder))
    base = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    theirs = PeftModel.from_pretrained(base, tmp_path / "adapter")
    with torch.no_grad():
        expected = theirs(IDS).logits
    assert (expected - logits(ours)).abs().max() > 0.1
    torch.testing.assert_close(logits(ours, adapter), expected, atol=1e-4, rtol=0)


def test_merged_layers_and_merged_files_compute_the_same(tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "base")
    ours = Transformer.load(folder, dtype=torch.float32, adapted_layers=2)
    adapter = Adapter.create(ours, rank=4)
    disturb(adapter)
    expected = logits(ours, adapter)
    merged = ours.run_top(ours.run_trunk(IDS), weights=adapter.merged(ours))
    torch.testing.assert_close(ours.logits(merged), expected, atol=1e-4, rtol=0)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    state = adapter.merge_into(load_file(folder / "model.safetensors"))
    model.load_state_dict(state, strict=False)
    with torch.no_grad():
        torch.testing.assert_close(model(IDS).logits, expected, atol=1e-4, rtol=0)


def test_saved_and_loaded_is_equal(tmp_path: Path) -> None:
    ours = tiny_llama(tmp_path / "base")
    adapter = Adapter.create(ours, rank=4, alpha=8)
    disturb(adapter)
    adapter.save(tmp_path / "adapter")
    loaded = Adapter.load(tmp_path / "adapter", ours)
    assert (loaded.rank, loaded.alpha) == (4, 8)
    for mine, theirs in zip(adapter.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_an_adapter_of_other_layers_is_refused(tmp_path: Path) -> None:
    ours = tiny_llama(tmp_path / "base")
    Adapter.create(ours, rank=4).save(tmp_path / "adapter")
    path = tmp_path / "adapter" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"r": 5}))
    with pytest.raises(AdapterMismatch, match="shape"):
        Adapter.load(tmp_path / "adapter", ours)
    with pytest.raises(AdapterMismatch, match="top"):
        Adapter.load(tmp_path / "adapter", tiny_llama(tmp_path / "base", adapted=1))


def test_every_parameter_gets_its_numeric_gradient(tmp_path: Path) -> None:
    ours = tiny_llama(tmp_path, dtype=torch.float64)
    adapter = Adapter.create(ours, rank=4)
    disturb(adapter)
    loss = ours.run_top(ours.run_trunk(IDS), adapter).square().sum()
    gradients = torch.autograd.grad(loss, adapter.parameters())
    step = 1e-4
    for tensor, gradient in zip(adapter.parameters(), gradients, strict=True):
        at = int(gradient.abs().argmax())
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                tensor.view(-1)[at] += sign * step
                values.append(ours.run_top(ours.run_trunk(IDS), adapter).square().sum())
                tensor.view(-1)[at] -= sign * step
        numeric = float(values[0] - values[1]) / (2 * step)
        assert numeric == pytest.approx(float(gradient.flatten()[at]), rel=5e-3)
