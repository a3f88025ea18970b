"""Every family against transformers' own forward pass, generation, and PEFT."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from rlhf.training.model.adapter import Adapter
from rlhf.training.model.library.decoder import LibraryDecoder
from rlhf.training.model.library.loading import Loading
from rlhf.training.model.logprobs import token_log_probs
from rlhf.training.model.sampler import sample
from rlhf.training.model.scoring import score_completions
from tests.rlhf.training.core_tiny import disturb
from tests.rlhf.training.families import FAMILIES, write_family

LENGTHS = torch.tensor([9, 17, 4])
IDS = torch.randint(3, 48, (3, 17), generator=torch.Generator().manual_seed(5))
PROMPTS = [[5, 9, 11], [7, 30, 12, 13, 40, 41, 8, 9, 10, 33, 6], [20]]
Theirs = Callable[[], Any]

pytestmark = pytest.mark.parametrize("family", FAMILIES, scope="module")


@pytest.fixture(scope="module")
def folder(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_family(tmp_path_factory.mktemp("families") / family, family)


@pytest.fixture(scope="module")
def ours(folder: Path) -> LibraryDecoder:
    return LibraryDecoder.load(folder, adapted_layers=2, loading=Loading(torch.float32))


def read(folder: Path) -> Any:
    """As transformers itself reads it, with nothing of ours around it."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@torch.no_grad()
def log_probs_of(model: Any) -> list[torch.Tensor]:
    """[length - 1] of each row alone, without pads."""
    found = []
    for ids, length in zip(IDS, LENGTHS.tolist(), strict=True):
        logs = model(input_ids=ids[None, :length]).logits[0, :-1].log_softmax(-1)
        found.append(logs.gather(1, ids[1:length, None])[:, 0])
    return found


def our_log_probs(model: LibraryDecoder, **given: Any) -> list[torch.Tensor]:
    """The same, of the padded batch."""
    hidden = model.run_top(model.run_trunk(IDS), lengths=LENGTHS, **given)
    return [
        token_log_probs(hidden[row, : length - 1], model.head, IDS[row, 1:length], temperature=1.0).log_probs
        for row, length in enumerate(LENGTHS.tolist())
    ]


def assert_close(found: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=0)


def test_log_probs_are_those_of_transformers(ours: LibraryDecoder, folder: Path) -> None:
    expected = log_probs_of(read(folder))
    assert max(float(one.std()) for one in expected) > 0.3
    assert_close(our_log_probs(ours), expected)


def test_an_adapter_is_that_of_peft_and_merged_the_same(ours: LibraryDecoder, folder: Path, tmp_path: Path) -> None:
    adapter = Adapter.create(ours, rank=4, alpha=8)
    plain = our_log_probs(ours)
    assert all(torch.equal(*both) for both in zip(our_log_probs(ours, adapter=adapter), plain, strict=True))
    disturb(adapter, spread=0.1)
    with torch.no_grad():
        found = our_log_probs(ours, adapter=adapter)
    assert max(float((one - other).abs().max()) for one, other in zip(found, plain, strict=True)) > 0.05
    adapter.save(tmp_path / "adapter", base=str(folder))
    assert_close(found, log_probs_of(PeftModel.from_pretrained(read(folder), tmp_path / "adapter")))
    assert_close(our_log_probs(ours, weights=ours.merge(adapter)), found)
    assert_close(our_log_probs(ours), plain)
    merged = read(folder)
    state = adapter.merge_into(load_file(folder / "model.safetensors"))
    changed = {name: state[name] for name in (f"{module}.weight" for module in adapter.named())}
    merged.load_state_dict(changed, strict=False)
    assert not set(changed) - set(merged.state_dict())
    assert_close(log_probs_of(merged), found)


def test_gradients_flow_to_the_adapter_alone(ours: LibraryDecoder) -> None:
    adapter = Adapter.create(ours, rank=2)
    disturb(adapter, spread=0.1)
    torch.cat(our_log_probs(ours, adapter=adapter)).sum().backward()
    assert all(bool(tensor.grad.any()) for tensor in adapter.parameters())  # type: ignore[union-attr]
    assert all(parameter.grad is None for parameter in ours.model.parameters())


def test_greedy_samples_are_generated_ones(ours: LibraryDecoder, folder: Path) -> None:
    rollout = sample(ours, PROMPTS, max_tokens=14, temperature=0.0, seed=0, completions_per_prompt=2)
    model = read(folder)
    for row, prompt in enumerate(prompt for prompt in PROMPTS for _ in range(2)):
        expected = model.generate(
            torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), do_sample=False, max_new_tokens=14
        )
        assert rollout.ids[row, : int(rollout.lengths[row])].tolist() == expected[0].tolist()


def test_drawn_log_probs_are_those_of_the_scorer(ours: LibraryDecoder) -> None:
    adapter = Adapter.create(ours, rank=4)
    disturb(adapter, spread=0.1)
    settings = {"max_tokens": 12, "temperature": 0.7, "seed": 3, "completions_per_prompt": 2, "adapter": adapter}
    rollout = sample(ours, PROMPTS, keep_log_probs=True, **settings)
    again = sample(ours, PROMPTS, batch_rows=2, **settings)
    assert again.completions() == rollout.completions()
    assert len(set(map(tuple, rollout.completions()))) > 3
    with torch.no_grad():
        scored = score_completions(ours, rollout, adapter, [torch.arange(3), torch.arange(3, 6)], temperature=0.7)
    drawn = rollout.log_probs[rollout.completion_mask()]
    found = scored.log_probs[torch.arange(scored.log_probs.shape[1]) < rollout.completion_lengths[:, None]]
    torch.testing.assert_close(drawn, found, atol=1e-3, rtol=0)


def test_where_the_trunk_ends_changes_nothing(ours: LibraryDecoder, folder: Path) -> None:
    expected = our_log_probs(ours)
    for adapted in (1, 3):
        assert_close(
            our_log_probs(LibraryDecoder.load(folder, adapted_layers=adapted, loading=Loading(torch.float32))),
            expected,
        )
