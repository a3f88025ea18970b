"""Networks that predict the next word: RNN, LSTM and GPT, and BERT, which sees both sides of a gap.

Elman 1990; Hochreiter and Schmidhuber 1997; Radford et al. 2018; Devlin et al. 2019. All share one interface, sizes
that two cores can teach, and the embedding as their output layer (Press and Wolf 2017).
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

RECURRENT = {"rnn": nn.RNN, "lstm": nn.LSTM}
DROPOUT = 0.1
NORM_EPS = 1e-5
States = tuple[Tensor, ...] | None
"""Of an RNN its state, of an LSTM its state and its cells; a Transformer has none."""


@dataclass(frozen=True)
class NetworkShape:
    """`vocabulary` counts the mask of BERT, too."""

    kind: str
    vocabulary: int
    width: int
    layers: int
    heads: int = 0
    positions: int = 0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class RecurrentNetwork(nn.Module):
    """h_t = f(x_t, h_{t-1}): one state that is carried from word to word."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.recurrent = RECURRENT[shape.kind](shape.width, shape.width, shape.layers, batch_first=True)
        self.dropout = nn.Dropout(DROPOUT)
        self.bias = nn.Parameter(torch.zeros(shape.vocabulary))
        nn.init.normal_(self.embedding.weight, std=shape.width**-0.5)

    def forward(self, tokens: Tensor, state: States = None) -> tuple[Tensor, States]:
        """(batch, length, vocabulary), and the state that the next words go on from."""
        given: Any = state[0] if state and isinstance(self.recurrent, nn.RNN) else state
        hidden, after = self.recurrent(self.dropout(self.embedding(tokens)), given)
        logits = F.linear(self.dropout(hidden), self.embedding.weight, self.bias)
        return logits, after if isinstance(after, tuple) else (after,)


class TransformerBlock(nn.Module):
    """Attention and a feed-forward layer, each after a norm and beside a way past it (Radford et al. 2019)."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        width = shape.width
        self.heads, self.is_causal = shape.heads, shape.kind == "gpt"
        self.norm_1, self.norm_2 = nn.LayerNorm(width, NORM_EPS), nn.LayerNorm(width, NORM_EPS)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        batch, length, width = hidden.shape
        parts = self.qkv(self.norm_1(hidden)).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=self.is_causal)
        hidden = hidden + self.out(seen.transpose(1, 2).reshape(batch, length, width))
        grown = F.gelu(self.up(self.norm_2(hidden)), approximate="tanh")
        passed_on: Tensor = hidden + self.down(grown)
        return passed_on


class TransformerNetwork(nn.Module):
    """With a mask over what comes later it is GPT, without one BERT."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.position = nn.Embedding(shape.positions, shape.width)
        self.blocks = nn.ModuleList(TransformerBlock(shape) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width, NORM_EPS)
        self.apply(_initialise)
        for name, weights in self.blocks.named_parameters():
            if name.endswith(("out.weight", "down.weight")):
                nn.init.normal_(weights, std=0.02 / math.sqrt(2 * shape.layers))

    def forward(self, tokens: Tensor, state: States = None) -> tuple[Tensor, States]:
        """(batch, length, vocabulary); no state is carried on."""
        hidden = self.embedding(tokens) + self.position.weight[: tokens.shape[1]]
        for block in self.blocks:
            hidden = block(hidden)
        return F.linear(self.norm(hidden), self.embedding.weight), None


def _initialise(layer: nn.Module) -> None:
    """Radford et al. 2019."""
    if isinstance(layer, nn.Linear | nn.Embedding):
        nn.init.normal_(layer.weight, std=0.02)
    if isinstance(layer, nn.Linear):
        nn.init.zeros_(layer.bias)


def build(shape: NetworkShape) -> nn.Module:
    return RecurrentNetwork(shape) if shape.kind in RECURRENT else TransformerNetwork(shape)
