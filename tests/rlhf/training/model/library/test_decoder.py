"""The transformers backend whatever the family: both backends agree, memory is shared, doubts are refused."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rlhf.training.model import choice
from rlhf.training.model.adapter import Adapter, AdapterMismatch
from rlhf.training.model.choice import Placement
from rlhf.training.model.decoder import Decoder
from rlhf.training.model.head import Head
from rlhf.training.model.library import parts
from rlhf.training.model.library.decoder import LibraryDecoder
from rlhf.training.model.library.loading import Loading
from rlhf.training.model.rope import UnsupportedArchitecture
from rlhf.training.model.sampler import sample
from rlhf.training.model.scoring import score_completions
from tests.rlhf.training.core_tiny import disturb, write_llama
from tests.rlhf.training.families import write_family

PROMPTS = [[5, 9, 11], [7, 30, 12, 13, 31, 8, 9, 10, 33, 6], [20]]
IDS = torch.randint(0, 40, (2, 11), generator=torch.Generator().manual_seed(3))


def both(folder: Path) -> tuple[Decoder, Decoder]:
    places = [Placement(backend=backend, dtype="fp32") for backend in ("llama", "transformers")]
    ours, theirs = (choice.load(folder, adapted_layers=2, placement=place) for place in places)
    return ours, theirs


def test_both_backends_sample_and_score_alike_under_one_saved_adapter(tmp_path: Path) -> None:
    ours, theirs = both(write_llama(tmp_path / "base"))
    mine = Adapter.create(ours, rank=4, alpha=8)
    disturb(mine)
    mine.save(tmp_path / "adapter")
    other = Adapter.load(tmp_path / "adapter", theirs)
    assert other.state().keys() == mine.state().keys()
    assert all(torch.equal(other.state()[name], one) for name, one in mine.state().items())
    rollouts = [
        sample(model, PROMPTS, max_tokens=12, temperature=0.8, seed=4, adapter=adapter, completions_per_prompt=3,
               keep_log_probs=True)
        for model, adapter in ((ours, mine), (theirs, other))
    ]  # fmt: skip
    assert torch.equal(rollouts[0].ids, rollouts[1].ids)
    torch.testing.assert_close(rollouts[0].log_probs, rollouts[1].log_probs, atol=1e-4, rtol=0)
    torch.testing.assert_close(rollouts[0].states, rollouts[1].states, atol=1e-4, rtol=0)
    rows = [torch.arange(9)]
    scored = [
        score_completions(model, rollout, adapter, rows, temperature=0.8, entropy=True)
        for model, adapter, rollout in zip((ours, theirs), (mine, other), rollouts, strict=True)
    ]
    for name in ("log_probs", "entropy", "hidden"):
        torch.testing.assert_close(getattr(scored[0], name), getattr(scored[1], name), atol=1e-4, rtol=0)


def test_gradients_of_both_backends_are_equal(tmp_path: Path) -> None:
    found = []
    for model in both(write_llama(tmp_path / "base")):
        adapter = Adapter.create(model, rank=4)
        disturb(adapter, seed=1)
        states = {name: torch.randn(one.shape, generator=torch.Generator().manual_seed(len(name)))
                  for name, one in adapter.state().items()}  # fmt: skip
        adapter.load_state(states)
        model.run_top(model.run_trunk(IDS), adapter).square().sum().backward()
        with torch.no_grad():
            for tensor in adapter.parameters():
                tensor -= 1e-6 * tensor.grad  # type: ignore[operator]
        found.append(adapter.state())
    for name, one in found[0].items():
        torch.testing.assert_close(found[1][name], one, atol=1e-5, rtol=1e-5)


def test_checkpointed_layers_have_the_same_gradients(tmp_path: Path) -> None:
    folder = write_family(tmp_path / "qwen3", "qwen3")
    gradients = []
    for checkpointing in (False, True):
        model = LibraryDecoder.load(
            folder, adapted_layers=2, loading=Loading(torch.float32, checkpointing=checkpointing)
        )
        adapter = Adapter.create(model, rank=4)
        disturb(adapter)
        runs: list[int] = []
        model.switch.modules["model.layers.2.self_attn.q_proj"].register_forward_hook(
            lambda *_, runs=runs: runs.append(1)
        )
        loss = model.run_top(model.run_trunk(IDS), adapter).square().sum()
        with torch.no_grad():
            model.run_top(model.run_trunk(IDS))  # another pass, without an adapter, before backward
        before = len(runs)
        gradients.append(torch.autograd.grad(loss, adapter.parameters()))
        assert (len(runs) > before) == checkpointing
        assert sample(model, PROMPTS, max_tokens=3, temperature=0.0, seed=0).ids.shape[1] == 13
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_the_top_of_another_policy_stands_on_the_trunk_of_this_one(tmp_path: Path) -> None:
    folder, loading = write_family(tmp_path / "base", "mistral"), Loading(torch.float32)
    base = LibraryDecoder.load(folder, adapted_layers=2, loading=loading)
    adapter = Adapter.create(base, rank=4)
    disturb(adapter)
    merged = adapter.merge_into(load_file(folder / "model.safetensors"))
    other = tmp_path / "other"
    other.mkdir()
    save_file(merged, other / "model.safetensors", metadata={"format": "pt"})
    (other / "config.json").write_text((folder / "config.json").read_text())
    shared = base.with_top_of(other)
    assert shared.shares_trunk(base)
    own = {id(one) for one in base.model.parameters()}
    kept = [name for name, one in shared.model.named_parameters() if id(one) not in own]
    assert kept == [
        name for name, _ in base.model.named_parameters() if name.startswith(("model.layers.1", "model.layers.2"))
    ]
    states = base.run_trunk(IDS)
    torch.testing.assert_close(shared.run_top(states), base.run_top(states, adapter), atol=1e-4, rtol=0)
    whole = LibraryDecoder.load(other, adapted_layers=2, loading=loading)
    assert not whole.shares_trunk(base)
    torch.testing.assert_close(shared.run_top(states), whole.run_top(states), atol=1e-6, rtol=0)


def test_a_model_whose_logits_are_made_otherwise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_family(tmp_path / "granite", "granite")
    right = parts.head_of
    monkeypatch.setattr(parts, "head_of", lambda model: Head(right(model).weight))  # without the divisor
    with pytest.raises(UnsupportedArchitecture, match=r"GraniteForCausalLM.*own logits"):
        LibraryDecoder.load(folder, adapted_layers=2)


@pytest.mark.parametrize("family", ["jamba", "minimax"])
def test_a_model_that_cannot_sample_by_its_cache_is_refused(tmp_path: Path, family: str) -> None:
    """transformers has a cache of another kind for these."""
    folder = write_family(tmp_path, family, **({"num_local_experts": 4} if family == "minimax" else {}))
    with pytest.raises(UnsupportedArchitecture, match=r"(Jamba|MiniMax)ForCausalLM.*[Cc]ache"):
        LibraryDecoder.load(folder, adapted_layers=2)


def test_a_model_without_linear_projections_is_refused(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    GPT2LMHeadModel(GPT2Config(vocab_size=40, n_embd=8, n_layer=2, n_head=2)).save_pretrained(tmp_path)
    with pytest.raises(UnsupportedArchitecture, match="no linear projections"):
        LibraryDecoder.load(tmp_path, adapted_layers=1)


def test_an_adapter_of_the_other_backend_is_refused(tmp_path: Path) -> None:
    ours, theirs = both(write_llama(tmp_path))
    states = ours.run_trunk(IDS)
    for model, other in ((ours, theirs), (theirs, ours)):
        adapter = Adapter.create(other, rank=2)
        with pytest.raises(AdapterMismatch, match="it was made for"):
            model.run_top(states, adapter)
        with pytest.raises(AdapterMismatch, match="it was made for"):
            model.merge(adapter)


def test_every_end_token_of_both_files_ends_a_completion(tmp_path: Path) -> None:
    _, theirs = both(write_llama(tmp_path))
    greedy = sample(theirs, PROMPTS, max_tokens=8, temperature=0.0, seed=0)
    end = int(greedy.ids[0, 4])  # the second token of the first completion
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [end, 3]}))
    for model in both(tmp_path):
        assert model.config.eos == (2, end, 3)
        again = sample(model, PROMPTS[:1], max_tokens=8, temperature=0.0, seed=0)
        assert again.ids[0].tolist() == greedy.ids[0, : again.ids.shape[1]].tolist()
        assert int(again.ids[0, -1]) == end
        assert bool(again.ended[0])
        assert len(again.ids[0]) <= 5
