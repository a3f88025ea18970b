"""Seeded leagues whose truth is known: competitors of given strength meet, with ties and with styles."""

import numpy as np

from feedback.leaderboard.battles import Battles, of_votes

STRENGTHS = np.array([0.9, 0.4, 0.1, -0.2, -0.5, -0.7])
"""In nats; they sum to 0."""
COEFFICIENTS = np.array([0.5, 0.2])


def league(seed: int, votes: int = 600, *, ties: float = 0.3, styled: bool = True) -> Battles:
    """The expected score of each vote is exactly the model's; `ties` is the share where both are equal."""
    random = np.random.default_rng(seed)
    left = random.integers(0, len(STRENGTHS), votes)
    right = (left + random.integers(1, len(STRENGTHS), votes)) % len(STRENGTHS)
    features = random.normal(size=(votes, len(COEFFICIENTS))) if styled else np.zeros((votes, 0))
    ahead = STRENGTHS[left] - STRENGTHS[right] + (features @ COEFFICIENTS if styled else 0)
    expected = 1 / (1 + np.exp(-ahead))
    tie = ties * 4 * expected * (1 - expected)
    drawn = random.random(votes)
    score = np.where(drawn < expected - tie / 2, 1.0, np.where(drawn < expected + tie / 2, 0.5, 0.0))
    return of_votes(len(STRENGTHS), left, right, score, np.ones(votes), features)
