"""Which backend computes a model, by what it is and where it runs."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from rlhf.training.hyperparameters import BadHyperparameter
from rlhf.training.model import choice
from rlhf.training.model.choice import Placement
from rlhf.training.model.library.loading import NoQuantisation
from rlhf.training.model.rope import UnsupportedArchitecture
from rlhf.training.model.transformer import Transformer
from tests.rlhf.training.core_tiny import write_llama
from tests.rlhf.training.families import YARN, write_family


def test_our_llama_computes_llamas_on_a_cpu_and_transformers_all_else(tmp_path: Path) -> None:
    llama = write_llama(tmp_path / "llama")
    assert choice.choose(llama, Placement()) == "llama"
    assert choice.choose(llama, Placement(device="auto")) == "llama"  # where torch finds no accelerator
    assert choice.choose(llama, Placement(device="cuda")) == "transformers"
    assert choice.choose(llama, Placement(bits=4)) == "transformers"
    assert choice.choose(llama, Placement(backend="transformers")) == "transformers"
    path = llama / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rope_parameters": YARN}))
    assert choice.choose(llama, Placement()) == "transformers"
    assert choice.choose(write_family(tmp_path / "qwen3", "qwen3"), Placement()) == "transformers"


def test_a_forced_backend_is_not_given_up(tmp_path: Path) -> None:
    folder = write_family(tmp_path / "qwen3", "qwen3")
    with pytest.raises(UnsupportedArchitecture, match="model_type='qwen3'"):
        choice.load(folder, adapted_layers=2, placement=Placement(backend="llama"))


@pytest.mark.parametrize("backend", ["llama", "transformers"])
@pytest.mark.parametrize(("asked", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_a_base_says_what_computes_it(tmp_path: Path, backend: str, asked: str, dtype: torch.dtype) -> None:
    folder = write_llama(tmp_path)
    placement = Placement.read({"backend": backend, "dtype": asked, "device": None, "snapshot": "else"})
    base = choice.load(folder, adapted_layers=2, placement=placement)
    assert (base.dtype, base.residual_dtype, base.trunk_layers) == (dtype, torch.float32, 1)
    assert choice.facts(base) == {"backend": backend, "device": "cpu", "dtype": str(dtype).removeprefix("torch.")}
    assert isinstance(base, Transformer) == (backend == "llama")
    assert base.run_top(base.run_trunk(torch.arange(5)[None])).dtype == torch.float32


@pytest.mark.parametrize(
    "config",
    [{"backend": "jax"}, {"dtype": "fp8"}, {"bits": 5}, {"bits": 4, "backend": "llama"}, {"checkpointing": 1}],
)
def test_a_placement_that_cannot_be_is_refused(config: dict[str, object]) -> None:
    with pytest.raises(BadHyperparameter, match=next(iter(config))):
        Placement.read(config)


def test_few_bits_without_the_library_for_them_name_it(tmp_path: Path) -> None:
    if find_spec("bitsandbytes") is not None:
        pytest.skip("bitsandbytes is installed")
    with pytest.raises(NoQuantisation, match="pip install bitsandbytes"):
        choice.load(write_llama(tmp_path), adapted_layers=2, placement=Placement(bits=4))


def test_layers_are_counted_under_any_spelling(tmp_path: Path) -> None:
    assert choice.layers_of(write_llama(tmp_path / "llama")) == 3
    gpt2 = tmp_path / "gpt2"
    gpt2.mkdir()
    (gpt2 / "config.json").write_text(json.dumps({"model_type": "gpt2", "n_layer": 7}))
    assert choice.layers_of(gpt2) == 7
