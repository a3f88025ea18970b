"""What a model of the lecture is worth on held-out text: perplexity, bits a character, what it calls impossible."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def figures(probabilities: NDArray[np.float64], characters: int) -> dict[str, Any]:
    """Of the probability of each held-out token. Perplexity is per token, so it compares models that share tokens;
    bits a character compare across tokenizers. Both are None where a token has probability 0."""
    impossible = float((probabilities <= 0).mean())
    if impossible:
        return {"perplexity": None, "bits_per_character": None, "impossible_share": impossible}
    nats = -np.log(probabilities)
    return {
        "perplexity": float(np.exp(nats.mean())),
        "bits_per_character": float(nats.sum() / np.log(2) / max(1, characters)),
        "impossible_share": 0.0,
    }
