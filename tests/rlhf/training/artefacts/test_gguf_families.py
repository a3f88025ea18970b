"""Files of other families than Llama: llama.cpp's own probabilities are those of transformers."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from transformers import AutoModelForCausalLM

from rlhf.training.artefacts import fetch, gguf_export, gguf_families, gguf_import, served_file
from rlhf.training.tokens import ChatTokenizer
from tests.families import make_folder
from tests.rlhf.training.artefacts.llama_server import served

WRITTEN = ("mistral-whole", "qwen2", "qwen3", "granite", "llama-llama3-rope")
QUESTIONS = ("What is a star?", "Do you have a body? Do you like music?", "Rice?", "Why do birds sing?", "Who?", "Hi")


@pytest.fixture(scope="module", params=WRITTEN)
def policy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("written")
    fetch.fetch(str(make_folder(root / "source", request.param)), root / "p", lambda done, total: None, served="f32")
    return root / "p"


def first_tokens(server: str, ids: list[int]) -> dict[int, float]:
    asked = {"prompt": ids, "max_tokens": 1, "temperature": 0, "logprobs": 20}
    answer = httpx.post(f"{server}/v1/completions", json=asked).json()["choices"][0]["logprobs"]
    if answer is None:  # the server keeps back bytes that are no character yet, and their probabilities
        return {}
    return {entry["id"]: entry["logprob"] for entry in answer["content"][0]["top_logprobs"]}


def test_llama_cpp_finds_what_transformers_finds(policy: Path) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(policy, dtype=torch.float32).eval()
    tokenizer, checked = ChatTokenizer.load(policy), 0
    with served(policy / "policy.gguf") as server:
        for question in QUESTIONS:
            ids = tokenizer.prompt_ids([{"role": "user", "content": question}])
            with torch.no_grad():
                expected = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
            found = first_tokens(server, ids)
            checked += len(found)
            for index, logprob in found.items():
                assert logprob == pytest.approx(expected[index].item(), abs=2e-3)
        assert checked >= 40
        text = "a bird\n\n  sings \t1234 don't \u2014 참새"
        assert httpx.post(f"{server}/tokenize", json={"content": text}).json()["tokens"] == tokenizer.text_ids(text)


def test_the_file_read_back_has_the_weights(policy: Path) -> None:
    from safetensors.torch import load_file

    weights = load_file(policy / "model.safetensors")
    file = gguf_import.Tensors(policy / "policy.gguf", json.loads((policy / "config.json").read_text()))
    assert all(torch.equal(file.read(name), tensor.float()) for name, tensor in weights.items())


@pytest.mark.parametrize("policy", ["qwen3", "granite"], indirect=True)
def test_the_distance_of_a_coarse_file_is_that_of_what_llama_cpp_says(policy: Path, tmp_path: Path) -> None:
    path = gguf_export.export(policy, tmp_path / "coarse.gguf", kind="q8_0")
    file = gguf_import.Tensors(path, json.loads((policy / "config.json").read_text()))
    tokenizer = ChatTokenizer.load(policy)
    ours, theirs = [], []
    with served(path) as server:
        for question in QUESTIONS:
            ids = tokenizer.prompt_ids([{"role": "user", "content": question}])
            rows, last = torch.tensor([ids]), torch.arange(len(ids))[None] == len(ids) - 1
            exact, said = (found[0] for found in served_file.log_probs(policy, file, rows, last))
            for index, logprob in first_tokens(server, ids).items():
                theirs.append(logprob - exact[index].item())
                ours.append((said - exact)[index].item())
    off, found, told = (torch.tensor(values).norm().item() for values in (
        [one - other for one, other in zip(ours, theirs, strict=True)], ours, theirs,
    ))  # fmt: skip
    assert len(theirs) >= 40
    assert found == pytest.approx(told, rel=0.4)
    assert off < told


def test_a_projection_with_a_bias_that_the_family_has_not_is_refused() -> None:
    qwen = gguf_families.FAMILIES["qwen2"]
    assert qwen.tensor_name("model.layers.3.self_attn.q_proj.bias") == "blk.3.attn_q.bias"
    for name in ("model.layers.3.self_attn.o_proj.bias", "model.layers.3.mlp.experts.0.w1.weight", "score.weight"):
        with pytest.raises(gguf_families.Unsupported):
            qwen.tensor_name(name)
