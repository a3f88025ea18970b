"""Log-probs without logits against the naive computation."""

import pytest
import torch

from rlhf.training.model import logprobs
from rlhf.training.model.logprobs import token_log_probs

RANDOM = torch.Generator().manual_seed(0)
HEAD = torch.randn(50, 8, generator=RANDOM, dtype=torch.float64)
TARGETS = torch.randint(0, 50, (11,), generator=RANDOM)
HIDDEN = torch.randn(11, 8, generator=RANDOM, dtype=torch.float64)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logprobs, "BLOCK", 4)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_values_and_gradient_are_those_of_the_naive_computation(temperature: float) -> None:
    hidden = HIDDEN.float().requires_grad_()
    head = HEAD.float()
    naive = torch.log_softmax(hidden @ head.T / temperature, -1)
    expected = naive.gather(1, TARGETS[:, None])[:, 0]
    ours = token_log_probs(hidden, head, TARGETS, temperature=temperature, entropy=True)
    torch.testing.assert_close(ours.log_probs, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.entropy, -(naive.exp() * naive).sum(-1).detach(), atol=1e-5, rtol=0)
    weights = torch.linspace(-1, 1, 11)
    mine = torch.autograd.grad((ours.log_probs * weights).sum(), hidden)[0]
    theirs = torch.autograd.grad((expected * weights).sum(), hidden)[0]
    torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=0)


def test_gradcheck() -> None:
    def log_probs(hidden: torch.Tensor) -> torch.Tensor:
        return token_log_probs(hidden, HEAD, TARGETS, temperature=0.7).log_probs

    assert torch.autograd.gradcheck(log_probs, (HIDDEN.clone().requires_grad_(),))


def test_an_almost_impossible_token_has_a_finite_log_prob() -> None:
    hidden = torch.full((1, 8), 40.0)
    head = torch.stack([torch.ones(8), -torch.ones(8)])
    ours = token_log_probs(hidden, head, torch.tensor([1]), temperature=1.0)
    assert ours.log_probs.item() == pytest.approx(-640.0)


def test_bf16_is_within_its_rounding() -> None:
    ours = token_log_probs(HIDDEN.float(), HEAD.bfloat16(), TARGETS, temperature=1.0)
    exact = token_log_probs(HIDDEN, HEAD, TARGETS, temperature=1.0)
    torch.testing.assert_close(ours.log_probs.double(), exact.log_probs, atol=0.1, rtol=0)
