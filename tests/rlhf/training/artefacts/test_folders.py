"""A folder of any decoder family becomes a policy with its weights and tokens; what is none says what would do."""

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from rlhf.training.artefacts import checkpoints, fetch, folder_weights
from rlhf.training.artefacts.sources import BadSource
from rlhf.training.tokens import ChatTokenizer
from tests.families import FAMILIES, make_folder

BY_LLAMA_CPP = {"llama", "llama-tied", "llama-llama3-rope", "mistral-whole", "qwen2", "qwen3", "granite"}
TEXTS = ("Do you like music?", "  참새 🐦\n12345", "<|im_end|>")


def silent(done: int, total: int | None) -> None:
    pass


def logits(folder: Path, ids: list[int]) -> torch.Tensor:
    """[T, V], as transformers itself reads the folder."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        found: torch.Tensor = model(torch.tensor([ids])).logits[0]
    return found


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("folder") / "qwen", "qwen2")


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_fetched_as_it_is(name: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = make_folder(tmp_path / "source", name)
    told = fetch.fetch(str(folder), tmp_path / "p", silent)
    checkpoints.verify(tmp_path / "p")
    assert told["engine"] == ("llama.cpp" if name in BY_LLAMA_CPP else "transformers")
    assert (tmp_path / "p" / "policy.gguf").exists() == (told["engine"] == "llama.cpp")
    assert told["max_position_embeddings"] == 1024
    before, after = load_file(folder / "model.safetensors"), load_file(tmp_path / "p" / "model.safetensors")
    assert set(before) - set(after) <= {"lm_head.weight"}
    assert all(torch.equal(after[name], before[name]) for name in after)
    ids = list(range(6, 60))
    assert torch.equal(logits(tmp_path / "p", ids), logits(folder, ids))
    theirs, ours = AutoTokenizer.from_pretrained(folder), ChatTokenizer.load(tmp_path / "p")
    for text in TEXTS:
        assert ours.tokenizer(text)["input_ids"] == theirs(text)["input_ids"]
    cached = fetch.fetch(str(folder), tmp_path / "p", silent)
    assert cached["cached"] is True
    assert fetch.fetch(str(folder), tmp_path / "p", silent, served="f32")["engine"] == told["engine"]


def test_shards_are_joined_tensor_by_tensor(qwen: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sharded"
    shutil.copytree(qwen, folder)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    places = {name: f"model-0000{1 + index % 2}-of-00002.safetensors" for index, name in enumerate(names)}
    for file in sorted(set(places.values())):
        save_file({name: weights[name].float() for name in names if places[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    save_file({"stray": torch.zeros(1)}, folder / "consolidated.safetensors")
    fetch.fetch(str(folder), tmp_path / "p", silent)
    joined = load_file(tmp_path / "p" / "model.safetensors")
    assert joined.keys() == weights.keys()
    assert all(torch.equal(joined[name], weights[name]) for name in names)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(BadSource, match="names files that are not there: model-00002"):
        fetch.fetch(str(folder), tmp_path / "q", silent)


def test_joining_needs_the_memory_of_a_tensor_and_not_of_the_model(tmp_path: Path) -> None:
    import subprocess
    import sys

    folder = tmp_path / "large"
    folder.mkdir()
    save_file(
        {f"t{index}": torch.ones(4 << 20, dtype=torch.float32) for index in range(16)}, folder / "model.safetensors"
    )
    program = (
        "import sys; from pathlib import Path; from rlhf.training.artefacts import folder_weights as w;"
        "from tests.rlhf.training.artefacts.peaks import peak_of;"
        "print(peak_of(lambda: w.join('s', Path(sys.argv[1]), Path(sys.argv[2]), tied=False)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder), str(tmp_path / "joined")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(done.stdout) < 80 << 20, done.stdout  # a third of the folder
    assert (tmp_path / "joined").stat().st_size == pytest.approx(16 * (8 << 20), rel=0.01)


Damage = Callable[[Path], None]


def _config(**changed: Any) -> Damage:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **changed}))

    return change


def _other(kind: str, **changed: Any) -> Damage:
    """The configuration of another family in the place of this one's."""

    def change(folder: Path) -> None:
        from transformers import CONFIG_MAPPING

        CONFIG_MAPPING[kind](**changed).save_pretrained(folder)

    return change


def _weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Damage:
    def damage(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors")

    return damage


def _settings(**changed: Any) -> Damage:
    def change(folder: Path) -> None:
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))

    return change


def _text(name: str, text: str) -> Damage:
    def write(folder: Path) -> None:
        (folder / name).write_text(text)

    return write


def _without(name: str) -> Damage:
    return lambda folder: (folder / name).unlink()


def _eight_bits(weights: dict[str, torch.Tensor]) -> None:
    weights["model.norm.weight"] = torch.ones(64).to(torch.float8_e4m3fn)


def _torn(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def _without_end(folder: Path) -> None:
    _config(eos_token_id=None)(folder)
    (folder / "generation_config.json").unlink()
    _settings(eos_token=None)(folder)


REFUSED: dict[str, tuple[Damage, list[str]]] = {
    "unknown": (_config(model_type="sparrow9"), ["does not know model_type 'sparrow9'", "newer transformers"]),
    "none": (_config(model_type=None), ["does not know model_type None"]),
    "code": (_config(auto_map={"AutoModel": "x.Y"}), ["config.json", "auto_map", "never run"]),
    "tokenizer's code": (_settings(auto_map={"AutoTokenizer": ["x.Y", None]}), ["tokenizer_config.json", "auto_map"]),
    "quantised": (_config(quantization_config={"quant_method": "fp8"}), ["quantised", "original, in bf16"]),
    "encoder-decoder": (_other("t5"), ["encoder with a decoder", "decoder alone"]),
    "vision": (_other("gemma3"), ["reads more than text (vision_config)", "text alone"]),
    "both directions": (_other("bert"), ["both directions", "causal"]),
    "no language model": (_other("vit"), ["no language model"]),
    "recurrent": (_other("mamba"), ["keep more than keys and values", "full or sliding attention"]),
    "partly recurrent": (_other("qwen3_next"), ["linear_attention"]),
    "no linear projections": (_other("gpt2"), ["could not adapt", "linear projections"]),
    "no positions": (_other("bloom"), ["position_ids"]),
    "too few tensors": (_weights(lambda w: w.pop("model.layers.1.mlp.up_proj.weight")), ["missing", "1.mlp.up_proj"]),
    "too many tensors": (_weights(lambda w: w.update(other=torch.zeros(2))), ["unexpected", "other"]),
    "another shape": (_config(intermediate_size=136), ["do not fit"]),
    "more layers": (_config(num_hidden_layers=4, layer_types=None), ["missing", "layers.3"]),
    "a type of no model": (_weights(_eight_bits), ["F8_E4M3"]),
    "torn": (_torn, ["damaged", "fetch it again"]),
    "no template": (_without("chat_template.jinja"), ["no chat template", "instructions"]),
    "a broken template": (_text("chat_template.jinja", "{{ messages[0].nothing.at_all }}"), ["chat template fails"]),
    "no end": (_without_end, ["no token ends a reply"]),
    "no tokenizer": (_without("tokenizer.json"), ["no tokenizer.json"]),
    "a broken tokenizer": (_text("tokenizer.json", "{}"), ["cannot read its tokenizer"]),
    "a broken index": (_text("model.safetensors.index.json", "[]"), ["index.json cannot be read"]),
    "no config": (_text("config.json", "[]"), ["no JSON object"]),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_folder_that_cannot_be_taken_says_why_and_what_would_do(name: str, qwen: Path, tmp_path: Path) -> None:
    damage, words = REFUSED[name]
    folder = tmp_path / "folder"
    shutil.copytree(qwen, folder)
    damage(folder)
    with pytest.raises(BadSource) as caught:
        fetch.fetch(str(folder), tmp_path / "p", silent)
    said = str(caught.value)
    assert all(word in said for word in words), said
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_the_written_header_is_that_of_safetensors(tmp_path: Path) -> None:
    """By the format's own description: eight bytes of length, JSON, then the tensors without a gap."""
    tensors = {"b": torch.arange(6).reshape(2, 3).to(torch.bfloat16), "a": torch.tensor([7], dtype=torch.int64)}
    (tmp_path / "f").mkdir()
    save_file(tensors, tmp_path / "f" / "model.safetensors")
    folder_weights.join("s", tmp_path / "f", tmp_path / "joined", tied=False)
    content = (tmp_path / "joined").read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    assert size % 8 == 0
    assert header["a"] == {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]}
    assert header["b"] == {"dtype": "BF16", "shape": [2, 3], "data_offsets": [8, 20]}
    assert len(content) == 8 + size + 20
    assert all(torch.equal(load_file(tmp_path / "joined")[name], tensor) for name, tensor in tensors.items())
