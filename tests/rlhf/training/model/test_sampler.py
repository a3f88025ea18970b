"""Sampling: the right distribution, the right states, the right ends."""

from pathlib import Path

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from rlhf.training.model.adapter import Adapter
from rlhf.training.model.draw import choose, invert, nucleus
from rlhf.training.model.sampler import sample
from rlhf.training.model.transformer import Transformer
from tests.rlhf.training.core_tiny import EOS, disturb, tiny_llama

PROMPTS = [[1, 5, EOS, 9], [1, 7], [1, EOS, EOS, 3, 30, 2, 12]]  # EOS stands inside prompts, as in ChatML


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Transformer:
    return tiny_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def adapter(model: Transformer) -> Adapter:
    adapter = Adapter.create(model, rank=4)
    disturb(adapter)
    return adapter


def test_first_tokens_have_the_model_s_distribution(model: Transformer, adapter: Adapter) -> None:
    rollout = sample(
        model,
        PROMPTS[:1],
        completions_per_prompt=4000,
        max_tokens=1,
        temperature=0.7,
        seed=0,
        adapter=adapter,
        keep_states=False,
    )
    ids = torch.tensor(PROMPTS[:1])
    with torch.no_grad():
        logits = model.logits(model.run_top(model.run_trunk(ids), adapter))[0, -1]
    expected = torch.softmax(logits.double() / 0.7, -1).numpy() * 4000
    counts = numpy.bincount(rollout.ids[:, 4].numpy(), minlength=40)
    often = expected >= 5
    seen = numpy.append(counts[often], counts[~often].sum())
    wanted = numpy.append(expected[often], expected[~often].sum())
    assert chisquare(seen, wanted * seen.sum() / wanted.sum()).pvalue > 1e-3


def test_inversion_is_exact_for_a_vocabulary_of_many_blocks() -> None:
    weights = torch.rand(3, 1000, generator=torch.Generator().manual_seed(0)) ** 8
    weights[:, ::3] = 0
    uniforms = (torch.arange(20000).double() + 0.5) / 20000
    for row in weights:
        ids = invert(row.expand(20000, -1), uniforms)
        seen = torch.bincount(ids, minlength=1000) / 20000
        assert (seen - row / row.sum()).abs().max() < 2 / 20000
        assert not bool(row[ids].eq(0).any())


@given(st.floats(0, 1, exclude_max=True), st.integers(0, 700))
@settings(max_examples=50, deadline=None)
def test_a_weight_of_zero_is_never_chosen(uniform: float, only: int) -> None:
    weights = torch.zeros(1, 701)
    weights[0, only] = 1e-30
    assert invert(weights, torch.tensor([uniform], dtype=torch.float64)).item() == only


def test_greedy_is_argmax_and_the_nucleus_holds_top_p() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0, -1.0]])
    uniforms = torch.linspace(0, 0.999, 500, dtype=torch.float64)
    assert choose(logits, uniforms[:1], temperature=0).item() == 1
    probabilities = torch.softmax(logits, -1)
    assert nucleus(probabilities, 0.6).nonzero()[:, 1].tolist() == [1]
    assert nucleus(probabilities, 0.7).nonzero()[:, 1].tolist() == [1, 2]
    chosen = choose(logits.expand(500, -1), uniforms, temperature=1.0, top_p=0.7)
    assert set(chosen.tolist()) == {1, 2}


def test_greedy_completions_are_those_of_whole_passes(model: Transformer, adapter: Adapter) -> None:
    rollout = sample(model, PROMPTS, max_tokens=20, temperature=0, seed=0, adapter=adapter)
    for prompt, completion, ended in zip(PROMPTS, rollout.completions(), rollout.ended.tolist(), strict=True):
        row = list(prompt)
        for _ in range(20):
            with torch.no_grad():
                hidden = model.run_top(model.run_trunk(torch.tensor([row])), adapter)
            row.append(int(model.logits(hidden)[0, -1].argmax()))
            if row[-1] == EOS:
                break
        assert row[len(prompt) :] == completion + [EOS] * ended


def test_trunk_states_are_those_of_a_new_pass_up_to_the_eos(model: Transformer, adapter: Adapter) -> None:
    rollout = sample(
        model, PROMPTS, completions_per_prompt=8, max_tokens=30, temperature=1.5, seed=1, adapter=adapter
    )
    assert 0 < rollout.ended.sum() < len(rollout), "the case needs rows that end early and rows that do not"
    assert len(set(rollout.lengths.tolist())) > 4
    again = model.run_trunk(rollout.ids)
    for row, length in enumerate(rollout.lengths.tolist()):
        torch.testing.assert_close(rollout.states[row, :length], again[row, :length], atol=1e-4, rtol=0)
        assert not bool(rollout.states[row, length:].any())


def test_draws_depend_on_the_seed_and_not_on_the_batch(model: Transformer, adapter: Adapter) -> None:
    def draw(seed: int, batch_rows: int) -> list[list[int]]:
        rollout = sample(
            model,
            PROMPTS,
            completions_per_prompt=3,
            max_tokens=12,
            seed=seed,
            adapter=adapter,
            batch_rows=batch_rows,
        )
        return rollout.completions()

    assert draw(5, 64) == draw(5, 64) == draw(5, 3) != draw(6, 64)


@given(st.integers(1, 12), st.integers(0, 2**40), st.floats(0.3, 3.0), st.integers(1, 4))
@settings(max_examples=15, deadline=None)
def test_rows_are_prompt_then_completion_that_ends_at_the_first_eos(
    model: Transformer, max_tokens: int, seed: int, temperature: float, copies: int
) -> None:
    rollout = sample(
        model,
        PROMPTS,
        completions_per_prompt=copies,
        max_tokens=max_tokens,
        temperature=temperature,
        seed=seed,
        batch_rows=2,
    )
    assert len(rollout) == 3 * copies
    assert rollout.ids.shape[1] == int(rollout.lengths.max())
    assert rollout.prompt_index.tolist() == [index for index in range(3) for _ in range(copies)]
    for row in range(len(rollout)):
        start, end = int(rollout.prompt_lengths[row]), int(rollout.lengths[row])
        assert rollout.ids[row, :start].tolist() == PROMPTS[int(rollout.prompt_index[row])]
        completion = rollout.ids[row, start:end].tolist()
        assert 1 <= len(completion) <= max_tokens
        assert EOS not in completion[:-1]
        assert (completion[-1] == EOS) == bool(rollout.ended[row])
        assert bool(rollout.ended[row]) or len(completion) == max_tokens
        assert not bool(rollout.ids[row, end:].any())


def test_an_empty_prompt_is_refused(model: Transformer) -> None:
    with pytest.raises(ValueError, match="empty"):
        sample(model, [[1], []], max_tokens=3, seed=0)


def test_a_model_of_which_every_layer_is_adapted_samples_too(tmp_path: Path) -> None:
    model = tiny_llama(tmp_path, adapted=3)
    rollout = sample(model, PROMPTS, max_tokens=5, seed=0)
    torch.testing.assert_close(
        rollout.states[0, : int(rollout.lengths[0])], model.embed(rollout.ids)[0, : int(rollout.lengths[0])]
    )


def test_packed_bf16_weights_give_the_states_of_whole_passes(tmp_path: Path) -> None:
    model = tiny_llama(tmp_path, dtype=torch.bfloat16)
    adapter = Adapter.create(model, rank=4)
    disturb(adapter)
    rollout = sample(model, PROMPTS, completions_per_prompt=4, max_tokens=9, seed=0, adapter=adapter)
    again = model.run_trunk(rollout.ids)
    for row, length in enumerate(rollout.lengths.tolist()):
        torch.testing.assert_close(rollout.states[row, :length], again[row, :length], atol=0.05, rtol=0.02)
