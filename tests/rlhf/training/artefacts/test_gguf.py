"""The GGUF copy says exactly what the safetensors say: same text from llama.cpp, same tensors when read back."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from rlhf.training.artefacts import gguf_export, gguf_import
from rlhf.training.artefacts.gguf_export import Unsupported
from rlhf.training.tokens import ChatTokenizer
from tests.rlhf.training.artefacts.llama_server import served

PROMPTS = ("What is a star?", "Do you have a body?", "2024 rainbows", "참새는 무엇을 먹나요?")


@pytest.fixture(scope="module")
def server(tiny: Path) -> Iterator[str]:
    with served(tiny / "policy.gguf") as address:
        yield address


@pytest.fixture(scope="module")
def model(tiny: Path) -> LlamaForCausalLM:
    return LlamaForCausalLM.from_pretrained(tiny, dtype=torch.float32)


def chat(tokenizer: ChatTokenizer, text: str) -> list[int]:
    return tokenizer.prompt_ids([{"role": "user", "content": text}])


def test_llama_cpp_writes_what_transformers_writes_in_fp32(
    tiny: Path, tmp_path: Path, model: LlamaForCausalLM, tokenizer: ChatTokenizer
) -> None:
    with served(gguf_export.export(tiny, tmp_path / "wide.gguf", kind="f32")) as server:
        for prompt in PROMPTS:
            ids = chat(tokenizer, prompt)
            asked = {"prompt": ids, "max_tokens": 24, "temperature": 0}
            written = httpx.post(f"{server}/v1/completions", json=asked).json()["choices"][0]["text"]
            ones = torch.ones(1, len(ids), dtype=torch.long)
            found = model.generate(
                torch.tensor([ids]), attention_mask=ones, max_new_tokens=24, do_sample=False, pad_token_id=0
            )
            assert written == tokenizer.decode(found[0, len(ids) :].tolist())


def test_llama_3_s_rotary_scaling_survives(tiny: Path, tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    folder = tmp_path / "p"
    shutil.copytree(tiny, folder)
    config = json.loads((folder / "config.json").read_text())
    scaling = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0}
    scaling |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 32}
    (folder / "config.json").write_text(json.dumps(config | {"rope_parameters": scaling}))
    scaled = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = chat(tokenizer, "What is a star? " * 8)
    with served(gguf_export.export(folder, tmp_path / "wide.gguf", kind="f32")) as server:
        asked = {"prompt": ids, "max_tokens": 16, "temperature": 0}
        written = httpx.post(f"{server}/v1/completions", json=asked).json()["choices"][0]["text"]
    ones = torch.ones(1, len(ids), dtype=torch.long)
    found = scaled.generate(
        torch.tensor([ids]), attention_mask=ones, max_new_tokens=16, do_sample=False, pad_token_id=0
    )
    assert written == tokenizer.decode(found[0, len(ids) :].tolist())


def test_the_served_file_gives_the_same_probabilities_but_for_rounding(
    model: LlamaForCausalLM, tokenizer: ChatTokenizer, server: str
) -> None:
    checked = 0
    for prompt in (*PROMPTS, "Hi", "Tell me more", "Who are you?", "Rice?", "What is a bird?"):
        ids = chat(tokenizer, prompt)
        expected = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        if not tokenizer.decode([int(expected.argmax())]).isascii():
            continue  # the server keeps back bytes that are no character yet, and their probabilities
        asked = {"prompt": ids, "max_tokens": 8, "temperature": 0, "logprobs": 5}
        answer = httpx.post(f"{server}/v1/completions", json=asked).json()["choices"][0]
        for entry in answer["logprobs"]["content"][0]["top_logprobs"]:
            assert entry["logprob"] == pytest.approx(expected[entry["id"]].item(), abs=0.15)
        checked += 1
    assert checked >= 2


def test_llama_cpp_cuts_text_as_the_tokenizer_does(tokenizer: ChatTokenizer, server: str) -> None:
    for text in (*PROMPTS, "a\n\n  b\t1234 don't — ok", "x" * 50):
        found = httpx.post(f"{server}/tokenize", json={"content": text}).json()["tokens"]
        assert found == tokenizer.text_ids(text)


def test_reading_the_file_back_gives_the_same_weights_and_tokens(tiny: Path, tmp_path: Path) -> None:
    about = gguf_import.convert(tiny / "policy.gguf", tmp_path)
    before, after = load_file(tiny / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert about["name"] == "tiny"
    one, other = (Tokenizer.from_file(str(folder / "tokenizer.json")) for folder in (tiny, tmp_path))
    for text in PROMPTS:
        assert one.encode(text).ids == other.encode(text).ids
    old, new = (json.loads((folder / "config.json").read_text()) for folder in (tiny, tmp_path))
    assert {key: new[key] for key in old} == old


def test_permutation_and_its_inverse() -> None:
    weight = torch.randn(24, 5)
    assert torch.equal(gguf_import.unpermute(gguf_export.permute(weight, 3), 3), weight)
    # of one head with rows 0..3: halves (0, 1 | 2, 3) become pairs (0, 2), (1, 3)
    assert gguf_export.permute(torch.arange(4.0)[:, None], 1)[:, 0].tolist() == [0, 2, 1, 3]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"model_type": "gpt_neox"}, "architecture"),
        ({"attention_bias": True}, "bias"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, "rotary"),
        ({"eos_token_id": None}, "eos_token_id"),
        ({"model_type": "mistral", "sliding_window": 64}, "window"),
    ],
)
def test_what_gguf_cannot_say_is_refused_by_name(tiny: Path, tmp_path: Path, change: dict, what: str) -> None:
    folder = tmp_path / "p"
    shutil.copytree(tiny, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    (folder / "generation_config.json").unlink()
    with pytest.raises(Unsupported, match=what):
        gguf_export.export(folder, tmp_path / "out.gguf")


def test_an_unknown_way_of_cutting_text_is_refused() -> None:
    assert gguf_export.pre_tokenizer_name(gguf_import.PRE_TOKENIZERS["llama-bpe"]) == "llama-bpe"
    assert gguf_export.pre_tokenizer_name(gguf_import.PRE_TOKENIZERS["qwen2"]) == "qwen2"
    assert gguf_export.pre_tokenizer_name(gguf_import.PRE_TOKENIZERS["smollm"]) == "smollm"
    with pytest.raises(Unsupported, match="pre-tokenizer"):
        gguf_export.pre_tokenizer_name({"type": "Metaspace"})
