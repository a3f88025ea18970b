"""The distance of the file that answers people from its weights, against llama.cpp's own probabilities."""

import json
import shutil
from pathlib import Path

import httpx
import pytest
import torch
from safetensors.torch import load_file, save_file

from rlhf.training.artefacts import gguf_export, gguf_import, served_file
from rlhf.training.tokens import ChatTokenizer
from tests.rlhf.training.artefacts.llama_server import served


@pytest.fixture
def folder(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "p"))


def figures(folder: Path, kind: str) -> dict[str, float]:
    served_file.write(folder, kind=kind, name="p")
    return dict(json.loads((folder / "served.json").read_text()))


def test_a_file_in_f32_is_the_weights_themselves_and_coarser_types_are_further_away(folder: Path) -> None:
    exact, half, coarse = (figures(folder, kind) for kind in ("f32", "bf16", "q8_0"))
    assert (exact["type"], exact["kl_nats"], exact["same_token"]) == ("f32", 0.0, 1.0)
    assert 0 < half["kl_nats"] < coarse["kl_nats"] < 0.05
    assert 0.8 < coarse["same_token"] < 1


def test_the_distance_is_as_large_as_that_of_what_llama_cpp_says(folder: Path, tokenizer: ChatTokenizer) -> None:
    path = gguf_export.export(folder, folder / "policy.gguf", kind="q8_0")
    file = gguf_import.Tensors(path, json.loads((folder / "config.json").read_text()))
    ours, theirs = [], []
    with served(path) as server:
        for prompt in ("What is a star?", "Do you have a body?", "Who are you?", "Rice?"):
            ids = tokenizer.prompt_ids([{"role": "user", "content": prompt}])
            rows, last = torch.tensor([ids]), torch.arange(len(ids))[None] == len(ids) - 1
            exact, said = (found[0] for found in served_file.log_probs(folder, file, rows, last))
            asked = {"prompt": ids, "max_tokens": 1, "temperature": 0, "logprobs": 20}
            answer = httpx.post(f"{server}/v1/completions", json=asked).json()["choices"][0]["logprobs"]
            for entry in answer["content"][0]["top_logprobs"]:
                theirs.append(entry["logprob"] - exact[entry["id"]].item())
                ours.append((said - exact)[entry["id"]].item())
    assert len(ours) == 80
    assert torch.tensor(ours).norm().item() == pytest.approx(torch.tensor(theirs).norm().item(), rel=0.3)
    # and it is the same distance: what both have in common is more than what they have not
    assert (torch.tensor(ours) - torch.tensor(theirs)).norm() < torch.tensor(theirs).norm()


def test_what_is_measured_is_the_file_and_not_what_it_should_have_been(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    served_file.write(folder, kind="bf16", name="p")
    weights["model.layers.1.mlp.down_proj.weight"] *= 3
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert served_file.distance(folder)["kl_nats"] > 0.1


def test_transformers_measures_the_distance_that_our_llama_does(folder: Path) -> None:
    ours = figures(folder, "q8_0")
    config = json.loads((folder / "config.json").read_text())
    mistral = {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": None}
    (folder / "config.json").write_text(json.dumps({**config, **mistral}))
    theirs = figures(folder, "q8_0")
    assert theirs["kl_nats"] == pytest.approx(ours["kl_nats"], rel=0.02)
    assert theirs["same_token"] == pytest.approx(ours["same_token"], abs=0.02)


def test_rows_that_are_no_whole_blocks_stay_in_bf16() -> None:
    kind = gguf_export.KINDS["q8_0"][1]
    assert gguf_export._fitting(kind, torch.zeros(4, 64)).name == "Q8_0"
    assert gguf_export._fitting(kind, torch.zeros(4, 48)).name == "BF16"
    assert gguf_export._fitting(kind, torch.zeros(64)).name == "F32"
