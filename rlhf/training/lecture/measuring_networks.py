"""What a network of the lecture is worth on held-out text: of the next word, or for BERT of a word in a gap."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rlhf.training.lecture import measuring
from rlhf.training.lecture.material import CorpusDirectory
from rlhf.training.lecture.networks import RECURRENT, NetworkShape
from rlhf.training.lecture.tokens import Ids

FIRST = 0
"""The token that each block is read after: of words the unknown one."""
GAP_EVERY = 7
"""So many words lie between two gaps of the held-out text, about the share that BERT was taught."""


def figures(
    model: nn.Module, shape: NetworkShape, material: CorpusDirectory, *, most_tokens: int = 0
) -> dict[str, Any]:
    """`most_tokens`: of the beginning of the held-out text; 0: all of it. Sets the network to evaluation."""
    model.eval()
    blocks = _blocks(material, most_tokens)
    with torch.inference_mode():
        if shape.kind == "bert":
            return _of_gaps(model, shape, blocks)
        found = np.concatenate([next_words(model, shape, block) for block in blocks])
    whole = len(material.held_out[0])
    characters = int(material.facts["held_out_characters"]) * len(found) / max(1, whole)
    return measuring.figures(found, round(characters))


def _blocks(material: CorpusDirectory, most_tokens: int) -> list[Ids]:
    tokens, starts = material.held_out
    blocks, left = np.split(tokens, starts[1:]), most_tokens or len(tokens)
    kept = []
    for block in blocks:
        if left > 0 and len(block):
            kept.append(block[:left])
            left -= len(block)
    return kept


def next_words(model: nn.Module, shape: NetworkShape, block: Ids) -> NDArray[np.float64]:
    """(tokens,): the probability of each token of a block after those before it."""
    given = torch.from_numpy(np.concatenate([[FIRST], block[:-1]]))
    wanted = torch.from_numpy(block)
    if shape.kind in RECURRENT:
        return _probabilities(model(given[None])[0][0], wanted)
    parts = []
    for start, fresh, end in windows(len(given), shape.positions):
        parts.append(_probabilities(model(given[None, start:end])[0][0][fresh - start :], wanted[fresh:end]))
    return np.concatenate(parts)


def windows(length: int, positions: int) -> Iterator[tuple[int, int, int]]:
    """(start, first new place, end): each place is new once, and has half the positions before it where there are as
    many."""
    fresh = 0
    while fresh < length:
        start = max(0, fresh - positions // 2)
        end = min(length, start + positions)
        yield start, fresh, end
        fresh = end


def _probabilities(logits: Tensor, wanted: Tensor) -> NDArray[np.float64]:
    chosen = torch.log_softmax(logits.float(), dim=-1).gather(1, wanted[:, None])[:, 0]
    found: NDArray[np.float64] = chosen.double().exp().numpy()
    return found


def _of_gaps(model: nn.Module, shape: NetworkShape, blocks: list[Ids]) -> dict[str, Any]:
    """The share of gaps that the network fills with the very word."""
    right = total = 0
    mask, positions = shape.vocabulary - 1, shape.positions
    for block in blocks:
        for first in range(0, len(block), positions):
            tokens = torch.from_numpy(block[first : first + positions])
            places = torch.from_numpy(_gaps(len(tokens)))
            found = model(tokens.index_fill(0, places, mask)[None])[0][0, places]
            right += int((found.argmax(-1) == tokens[places]).sum())
            total += len(places)
    return {"gaps_right": right / max(1, total), "gaps": total}


def _gaps(length: int) -> Ids:
    """Places of the gaps in a piece of text."""
    return np.arange(min(GAP_EVERY // 2, max(0, length - 1)), length, GAP_EVERY)
