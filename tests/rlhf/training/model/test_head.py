"""The head's arithmetic against the naive one, with its gradient."""

import pytest
import torch

from rlhf.training.model import logprobs
from rlhf.training.model.head import Head
from rlhf.training.model.logprobs import token_log_probs

RANDOM = torch.Generator().manual_seed(0)
WEIGHT = torch.randn(50, 8, generator=RANDOM, dtype=torch.float64)
BIAS = torch.randn(50, generator=RANDOM, dtype=torch.float64)
TARGETS = torch.randint(0, 50, (11,), generator=RANDOM)
HIDDEN = torch.randn(11, 8, generator=RANDOM, dtype=torch.float64)
HEADS = [
    Head(WEIGHT),
    Head(WEIGHT, BIAS),
    Head(WEIGHT, divisor=3.0),
    Head(WEIGHT, cap=2.5),
    Head(WEIGHT, BIAS, divisor=0.5, cap=4.0),
]


@pytest.mark.parametrize("head", HEADS, ids=["plain", "bias", "divisor", "cap", "all"])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probs_entropy_and_gradient(head: Head, temperature: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logprobs, "BLOCK", 4)
    hidden = HIDDEN.clone().requires_grad_()
    logits = hidden @ WEIGHT.T + (0 if head.bias is None else BIAS)
    logits = logits / head.divisor
    if head.cap is not None:
        logits = head.cap * torch.tanh(logits / head.cap)
    naive = torch.log_softmax(logits / temperature, -1)
    expected = naive.gather(1, TARGETS[:, None])[:, 0]
    ours = token_log_probs(hidden, head, TARGETS, temperature=temperature, entropy=True)
    torch.testing.assert_close(ours.log_probs, expected)
    torch.testing.assert_close(ours.entropy, -(naive.exp() * naive).sum(-1).detach())
    torch.testing.assert_close(head.logits(HIDDEN), logits.detach())
    weights = torch.linspace(-1, 1, 11, dtype=torch.float64)
    mine = torch.autograd.grad((ours.log_probs * weights).sum(), hidden)[0]
    theirs = torch.autograd.grad((expected * weights).sum(), hidden)[0]
    torch.testing.assert_close(mine, theirs)
