"""Asks a taught network by numpy alone, for pages: the next word, and what it looked at or carried along.

The same arithmetic as rlhf.training.lecture.networks, of one prompt; a test holds one to the other.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlhf.training.lecture import arrays

WEIGHTS, SHAPE = "weights.safetensors", "shape.json"
FIRST = 0
NORM_EPS = 1e-5
Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class NetworkAnswer:
    """About one prompt, place by place; the first place is the beginning, before any word."""

    logprobs: Floats
    """(places, vocabulary): of the next word after each place; of BERT, of the word at it."""
    states: Floats
    """(places, width): what an RNN carries along after each place; empty for Transformers."""
    attention: Floats
    """(heads, places, places) of the last block; empty for recurrent networks."""


class TaughtNetwork:
    """The weights of a published network."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError, BadArrays."""
        self.shape: dict[str, Any] = json.loads((folder / SHAPE).read_text())
        self._weights = arrays.read(folder / WEIGHTS)

    @property
    def kind(self) -> str:
        return str(self.shape["kind"])

    @property
    def mask(self) -> int:
        """BERT's token for a gap."""
        return int(self.shape["vocabulary"]) - 1

    def answer(self, tokens: Sequence[int]) -> NetworkAnswer:
        """After the beginning and each of the tokens; of BERT at each of the tokens."""
        if self.kind in ("rnn", "lstm"):
            return self._recurrent([FIRST, *tokens])
        given = list(tokens) if self.kind == "bert" else [FIRST, *tokens]
        return self._transformer(given[-int(self.shape["positions"]) :])

    # --- recurrent ------------------------------------------------------------------------------------------------

    def _recurrent(self, tokens: Sequence[int]) -> NetworkAnswer:
        embedding, width = self._weights["embedding.weight"], int(self.shape["width"])
        inputs: Floats = embedding[list(tokens)]
        step = self._lstm_layer if self.kind == "lstm" else self._rnn_layer
        for layer in range(int(self.shape["layers"])):
            inputs = step(inputs, layer, width)
        return NetworkAnswer(_log_softmax(inputs @ embedding.T + self._weights["bias"]), inputs, np.zeros((0, 0, 0)))

    def _gates(self, inputs: Floats, layer: int) -> tuple[Floats, Floats]:
        """What the words add to each gate, and how the state is added."""
        names = [f"recurrent.{part}_l{layer}" for part in ("weight_ih", "bias_ih", "bias_hh", "weight_hh")]
        from_word, bias_1, bias_2, from_state = (self._weights[name] for name in names)
        return inputs @ from_word.T + bias_1 + bias_2, from_state

    def _rnn_layer(self, inputs: Floats, layer: int, width: int) -> Floats:
        added, from_state = self._gates(inputs, layer)
        state, states = np.zeros(width, dtype=np.float32), []
        for row in added:
            state = np.tanh(row + from_state @ state)
            states.append(state)
        return np.stack(states)

    def _lstm_layer(self, inputs: Floats, layer: int, width: int) -> Floats:
        added, from_state = self._gates(inputs, layer)
        state, cells, states = np.zeros(width, dtype=np.float32), np.zeros(width, dtype=np.float32), []
        for row in added:
            enter, forget, fresh, leave = np.split(row + from_state @ state, 4)
            cells = _sigmoid(forget) * cells + _sigmoid(enter) * np.tanh(fresh)
            state = _sigmoid(leave) * np.tanh(cells)
            states.append(state)
        return np.stack(states)

    # --- Transformers ---------------------------------------------------------------------------------------------

    def _transformer(self, tokens: Sequence[int]) -> NetworkAnswer:
        weights, embedding = self._weights, self._weights["embedding.weight"]
        hidden: Floats = embedding[list(tokens)] + weights["position.weight"][: len(tokens)]
        seen: Floats = np.zeros((0, 0, 0))
        for block in range(int(self.shape["layers"])):
            hidden, seen = self._block(hidden, f"blocks.{block}.")
        logits = self._norm(hidden, "norm.") @ embedding.T
        return NetworkAnswer(_log_softmax(logits), np.zeros((0, 0)), seen)

    def _block(self, hidden: Floats, name: str) -> tuple[Floats, Floats]:
        length, width = hidden.shape
        heads = int(self.shape["heads"])
        parts = self._linear(self._norm(hidden, f"{name}norm_1."), f"{name}qkv.")
        query, key, value = parts.reshape(length, 3, heads, width // heads).transpose(1, 2, 0, 3)
        likeness = query @ key.transpose(0, 2, 1) / np.sqrt(width // heads)
        if self.kind == "gpt":
            likeness = np.where(np.tri(length, dtype=bool), likeness, -np.inf)
        seen = np.exp(_log_softmax(likeness))
        joined = (seen @ value).transpose(1, 0, 2).reshape(length, width)
        hidden = hidden + self._linear(joined, f"{name}out.")
        grown = _gelu(self._linear(self._norm(hidden, f"{name}norm_2."), f"{name}up."))
        return hidden + self._linear(grown, f"{name}down."), seen

    def _linear(self, inputs: Floats, name: str) -> Floats:
        added: Floats = inputs @ self._weights[f"{name}weight"].T + self._weights[f"{name}bias"]
        return added

    def _norm(self, inputs: Floats, name: str) -> Floats:
        centred = inputs - inputs.mean(-1, keepdims=True)
        spread = np.sqrt((centred**2).mean(-1, keepdims=True) + NORM_EPS)
        normed: Floats = centred / spread * self._weights[f"{name}weight"] + self._weights[f"{name}bias"]
        return normed


def _log_softmax(values: Floats) -> Floats:
    shifted = values - values.max(-1, keepdims=True)
    found: Floats = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return found


def _sigmoid(values: Floats) -> Floats:
    found: Floats = 0.5 * (1 + np.tanh(0.5 * values))
    return found


def _gelu(values: Floats) -> Floats:
    """The approximation by tanh (Hendrycks and Gimpel 2016)."""
    found: Floats = 0.5 * values * (1 + np.tanh(np.sqrt(2 / np.pi) * (values + 0.044715 * values**3)))
    return found
