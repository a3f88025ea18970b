"""The lecture's networks against transformers and numpy, and their teaching: kill and resume end equal to the bit."""

import json

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from rlhf.training.lecture import material, measuring_networks, teaching_networks
from rlhf.training.lecture.answering import TaughtNetwork
from rlhf.training.lecture.corpus import hold_out
from rlhf.training.lecture.material import CorpusDirectory
from rlhf.training.lecture.networks import NetworkShape, TransformerNetwork, build
from rlhf.training.run import RunDirectory, Stopped

FAMILIES = ("rnn", "lstm", "gpt", "bert")
TINY = {"width": 16, "layers": 2}
BLOCKS = [f"The king {n} went to the house {n % 5} of the lord and said : go {n % 3} ." for n in range(60)]


def shape_of(family, vocabulary=40):
    sizes = {"heads": 4, "positions": 24} if family in ("gpt", "bert") else {}
    return NetworkShape(family, vocabulary, **TINY, **sizes)


def own(family, vocabulary=40):
    torch.manual_seed(1)
    network = build(shape_of(family, vocabulary)).eval()
    for weights in network.parameters():
        torch.nn.init.normal_(weights, std=0.3)
    return network


NAMES = {
    "norm_1": "ln_1", "norm_2": "ln_2", "qkv": "attn.c_attn", "out": "attn.c_proj", "up": "mlp.c_fc",
    "down": "mlp.c_proj",
}  # fmt: skip


def in_gpt2(network):
    """Its weights in transformers' GPT-2, whose linear layers are transposed."""
    config = transformers.GPT2Config(
        vocab_size=40, n_positions=24, n_embd=16, n_layer=2, n_head=4, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0
    )
    config._attn_implementation = "eager"
    theirs = transformers.GPT2LMHeadModel(config).eval()
    named = {"transformer.wte.weight": network.embedding.weight, "transformer.wpe.weight": network.position.weight}
    named |= {f"transformer.ln_f.{part}": getattr(network.norm, part) for part in ("weight", "bias")}
    for place, block in enumerate(network.blocks):
        for mine, their in NAMES.items():
            layer, name = getattr(block, mine), f"transformer.h.{place}.{their}"
            named[f"{name}.weight"] = layer.weight if mine.startswith("norm") else layer.weight.T
            named[f"{name}.bias"] = layer.bias
    missing, unexpected = theirs.load_state_dict(named, strict=False)
    assert (missing, unexpected) == (["lm_head.weight"], [])
    return theirs


def test_blocks_with_the_mask_are_gpt2():
    network, tokens = own("gpt"), torch.arange(20)[None] % 40
    assert torch.allclose(network(tokens)[0], in_gpt2(network)(tokens).logits, atol=1e-5)


def test_blocks_without_the_mask_see_both_sides_as_torch_s_encoder_does():
    """BERT normalises after each layer; these blocks before it, as torch's encoder with norm_first."""
    network, tokens = own("bert"), torch.arange(20)[None] % 40
    hidden = network.embedding(tokens) + network.position.weight[:20]
    for block in network.blocks:
        layer = torch.nn.TransformerEncoderLayer(
            16, 4, 64, dropout=0, batch_first=True, norm_first=True,
            activation=lambda values: torch.nn.functional.gelu(values, approximate="tanh"),
        ).eval()  # fmt: skip
        named = {"in_proj_weight": block.qkv.weight, "in_proj_bias": block.qkv.bias}
        state = {f"self_attn.{name}": value for name, value in named.items()}
        pairs = {"self_attn.out_proj": "out", "linear1": "up", "linear2": "down"}
        pairs |= {"norm1": "norm_1", "norm2": "norm_2"}
        for theirs, mine in pairs.items():
            state |= {f"{theirs}.{part}": getattr(getattr(block, mine), part) for part in ("weight", "bias")}
        layer.load_state_dict(state)
        hidden = layer(hidden)
    expected = network.norm(hidden) @ network.embedding.weight.T
    assert torch.allclose(network(tokens)[0], expected, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_answer_by_numpy_is_torch_s(family, tmp_path):
    network = own(family)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    (tmp_path / "shape.json").write_text(json.dumps(shape_of(family).as_json()))
    tokens = [5, 7, 39, 1, 5]
    given = tokens if family == "bert" else [0, *tokens]
    answer = TaughtNetwork(tmp_path).answer(tokens)
    with torch.inference_mode():
        expected = torch.log_softmax(network(torch.tensor([given]))[0][0], dim=-1).numpy()
    assert answer.logprobs == pytest.approx(expected, abs=1e-4)
    if family in ("gpt", "bert"):
        assert answer.attention.sum(-1) == pytest.approx(np.ones((4, len(given))), abs=1e-5)
    if family == "gpt":
        assert np.triu(answer.attention[0], 1).max() == 0
    if family in ("rnn", "lstm"):
        assert answer.states.shape == (6, 16)


@pytest.mark.parametrize("family", ["lstm", "gpt"])
def test_each_held_out_word_is_scored_once_after_those_before_it(family):
    network = own(family)
    block = np.random.default_rng(0).integers(0, 40, 70)
    with torch.inference_mode():
        found = measuring_networks.next_words(network, shape_of(family), block)
        given = torch.from_numpy(np.concatenate([[0], block[:-1]]))
        first = torch.softmax(network(given[None, :20])[0][0], dim=-1)
    assert len(found) == 70
    assert found[:20] == pytest.approx(first[range(20), block[:20]].numpy(), rel=1e-4)


def test_windows_overlap_by_half():
    assert list(measuring_networks.windows(60, 24)) == [(0, 0, 24), (12, 24, 36), (24, 36, 48), (36, 48, 60)]


# --- teaching -------------------------------------------------------------------------------------------------------


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    material.prepare(hold_out("text", BLOCKS), folder)
    return CorpusDirectory(folder)


@pytest.fixture
def run_of(tmp_path):
    def make(name, family, steps=12):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        sizes = {"heads": 4, "positions": 24} if family in ("gpt", "bert") else {}
        config = {"steps": steps, "minutes": 1, "seed": 3, "shape": {**TINY, **sizes}}
        if sizes:
            config["length"] = 24
        (folder / "config.json").write_text(json.dumps(config))
        return RunDirectory(folder)

    return make


@pytest.mark.parametrize("family", FAMILIES)
def test_a_network_that_was_stopped_ends_equal_to_the_bit(family, corpus, run_of, tmp_path, monkeypatch):
    whole = teaching_networks.teach(family, run_of("whole", family), corpus, tmp_path / "whole-out")
    broken, learn = run_of("broken", family), teaching_networks.NetworkTeacher._learn

    def stop_at_seven(self, step):
        if step == 7:
            self.directory.stop()
        return learn(self, step)

    monkeypatch.setattr(teaching_networks.NetworkTeacher, "_learn", stop_at_seven)
    with pytest.raises(Stopped):
        teaching_networks.teach(family, broken, corpus, tmp_path / "broken-out")
    monkeypatch.undo()
    again = teaching_networks.teach(family, RunDirectory(broken.path), corpus, tmp_path / "broken-out")
    mine, theirs = (load_file(tmp_path / name / "weights.safetensors") for name in ("broken-out", "whole-out"))
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    score = "gaps_right" if family == "bert" else "perplexity"
    assert again["models"][family][score] == whole["models"][family][score]


def test_teaching_lowers_the_perplexity(corpus, run_of, tmp_path):
    taught = teaching_networks.teach("lstm", run_of("run", "lstm", steps=150), corpus, tmp_path / "out")
    curve = [point["perplexity"] for point in taught["over_seconds"]]
    assert curve[-1] < curve[0] / 2


def test_the_time_decides_how_many_steps_there_are(corpus, run_of):
    run = run_of("run", "rnn", steps=0)
    run.config["minutes"] = 0.005
    teacher = teaching_networks.NetworkTeacher("rnn", run, corpus)
    teacher._plan()
    assert teacher.steps >= 1
    assert isinstance(teacher.model, torch.nn.Module)
    assert not isinstance(teacher.model, TransformerNetwork)
