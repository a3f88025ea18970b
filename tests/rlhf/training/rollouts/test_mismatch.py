"""How far sampler and scorer are apart, by hand."""

import math

import pytest
import torch

from rlhf.training.rollouts.mismatch import LIMIT_NATS, AnotherModelSampled, Mismatch

MASK = torch.tensor([[True, True], [True, False]])
SAMPLED = torch.tensor([[-1.0, -2.0], [-0.5, 0.0]])


def apart(*differences: float) -> Mismatch:
    first, second, third = differences
    return Mismatch.of(SAMPLED + torch.tensor([[first, second], [third, 9.0]]), SAMPLED, MASK)


def k3(difference: float) -> float:
    return math.exp(difference) - 1 - difference


def test_the_figures_by_hand() -> None:
    found = apart(0.1, -0.2, 0.3)
    assert found.nats == pytest.approx(0.2)
    assert found.nats_max == pytest.approx(0.3)
    assert found.kl == pytest.approx((k3(0.1) + k3(-0.2) + k3(0.3)) / 3, rel=1e-4)
    assert found.kl_max == pytest.approx(k3(0.3), rel=1e-4)


def test_the_estimate_is_the_kl_of_the_sampler_to_the_scorer() -> None:
    sampler, scorer = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.4, 0.4, 0.2])
    counts = (sampler * 10).long()  # each token as often as the sampler draws it
    tokens = torch.repeat_interleave(torch.arange(3), counts)
    rows = (scorer.log()[tokens][None], sampler.log()[tokens][None], torch.ones(1, 10, dtype=torch.bool))
    assert Mismatch.of(*rows).kl == pytest.approx(float((sampler * (sampler / scorer).log()).sum()), rel=1e-4)


def test_rounding_passes_and_another_model_does_not() -> None:
    apart(0.05, -0.05, 0.02).refuse_another_model()
    with pytest.raises(AnotherModelSampled) as caught:
        apart(0.5, -0.5, 0.5).refuse_another_model()
    assert caught.value.kl > LIMIT_NATS


@pytest.mark.parametrize("far", [500.0, -500.0, math.nan])
def test_what_no_number_holds_is_refused_too(far: float) -> None:
    with pytest.raises(AnotherModelSampled):
        apart(far, 0.0, 0.0).refuse_another_model()
