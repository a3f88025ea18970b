"""Our forward pass against transformers' Llama."""

import json
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from rlhf.training.model.rope import UnsupportedArchitecture
from rlhf.training.model.transformer import Transformer
from tests.rlhf.training.core_tiny import tiny_llama, write_llama

ROPES = [
    {"rope_theta": 100.0, "rope_type": "default"},
    {"rope_theta": 100.0, "rope_type": "linear", "factor": 3.0},
    {
        "rope_theta": 100.0,
        "rope_type": "llama3",
        "factor": 4.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    },
]


def change_config(folder: Path, **fields: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize("rope", ROPES, ids=lambda rope: str(rope["rope_type"]))
@pytest.mark.parametrize("tied", [True, False])
def test_logits_are_those_of_transformers(tmp_path: Path, rope: dict[str, object], tied: bool) -> None:
    folder = write_llama(tmp_path, tied=tied)
    change_config(folder, rope_parameters=rope)
    theirs = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ours = Transformer.load(folder, dtype=torch.float32, adapted_layers=2)
    ids = torch.randint(0, 40, (3, 50), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = theirs(ids).logits
    logits = ours.logits(ours.run_top(ours.run_trunk(ids)))
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)


def test_pads_on_the_right_change_nothing(tmp_path: Path) -> None:
    ours = tiny_llama(tmp_path)
    ids = torch.randint(0, 40, (3, 12), generator=torch.Generator().manual_seed(0))
    padded = torch.cat([ids, torch.full((3, 7), 2)], dim=1)
    hidden = ours.run_top(ours.run_trunk(padded))[:, :12]
    torch.testing.assert_close(hidden, ours.run_top(ours.run_trunk(ids)), atol=1e-5, rtol=0)


def test_rows_laid_end_to_end_are_the_padded_ones(tmp_path: Path) -> None:
    ours = tiny_llama(tmp_path)
    states = ours.run_trunk(torch.randint(0, 40, (3, 12), generator=torch.Generator().manual_seed(0)))
    lengths = torch.tensor([5, 12, 1])
    dense, padded = ours.run_top(states, lengths=lengths), ours.run_top(states)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(dense[row, :length], padded[row, :length], atol=1e-5, rtol=0)
        assert not dense[row, length:].any()


@pytest.mark.parametrize("adapted", [1, 2, 3])
def test_where_the_trunk_ends_changes_nothing(tmp_path: Path, adapted: int) -> None:
    ids = torch.arange(10).view(1, 10)
    whole, split = tiny_llama(tmp_path, adapted=3), tiny_llama(tmp_path, adapted=adapted)
    torch.testing.assert_close(split.run_top(split.run_trunk(ids)), whole.run_top(whole.run_trunk(ids)))


def test_bf16_keeps_an_fp32_residual_stream(tmp_path: Path) -> None:
    ours = tiny_llama(tmp_path, dtype=torch.bfloat16)
    states = ours.run_trunk(torch.arange(8).view(1, 8))
    assert states.dtype == torch.float32
    assert ours.layers[0].qkv.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("field", "value"), [("model_type", "gpt2"), ("attention_bias", True), ("hidden_act", "gelu")]
)
def test_other_architectures_are_refused_by_name(tmp_path: Path, field: str, value: object) -> None:
    folder = write_llama(tmp_path)
    change_config(folder, **{field: value})
    with pytest.raises(UnsupportedArchitecture, match=field):
        Transformer.load(folder)


def test_an_unknown_rope_is_refused(tmp_path: Path) -> None:
    folder = write_llama(tmp_path)
    change_config(folder, rope_parameters={"rope_type": "yarn", "rope_theta": 100.0})
    with pytest.raises(UnsupportedArchitecture, match="yarn"):
        Transformer.load(folder)
