"""One iteration of PPO in numpy and fp64, written from the papers and not from the code under test.

Rows are lists of token ids; nothing is padded, batched or merged. Sources: Touvron et al., arXiv:2302.13971 (the
model); Hu et al., arXiv:2106.09685 (LoRA); Schulman et al., arXiv:1506.02438 (advantages) and arXiv:1707.06347
(the clipped loss); Ziegler et al., arXiv:1909.08593 (the reward of each token); Hoerl and Kennard, 1970 (ridge).
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

Array = NDArray[np.float64]
Weights = dict[str, Array]


@dataclass
class Llama:
    config: dict[str, float]
    weights: Weights

    @classmethod
    def read(cls, folder: Path) -> "Llama":
        weights = {
            name: tensor.astype(np.float64) for name, tensor in load_file(folder / "model.safetensors").items()
        }
        return cls(json.loads((folder / "config.json").read_text()), weights)

    def with_lora(self, adapter: dict[str, Array], scale: float) -> "Llama":
        """W + scale * B A, for tensors under PEFT's names."""
        weights = dict(self.weights)
        for name, a in adapter.items():
            if name.endswith("lora_A.weight"):
                target = name.removeprefix("base_model.model.").replace("lora_A.weight", "weight")
                weights[target] = weights[target] + scale * adapter[name.replace("lora_A", "lora_B")] @ a
        return Llama(self.config, weights)

    def hidden(self, ids: list[int]) -> Array:
        """The last states [T, D], from which position t predicts token t + 1."""
        states = self.weights["model.embed_tokens.weight"][ids]
        for index in range(int(self.config["num_hidden_layers"])):
            at = f"model.layers.{index}."
            states = states + self._attend(at, self._norm(states, f"{at}input_layernorm.weight"))
            inner = self._norm(states, f"{at}post_attention_layernorm.weight")
            gate = inner @ self.weights[f"{at}mlp.gate_proj.weight"].T
            up = inner @ self.weights[f"{at}mlp.up_proj.weight"].T
            states = states + (gate / (1 + np.exp(-gate)) * up) @ self.weights[f"{at}mlp.down_proj.weight"].T
        return self._norm(states, "model.norm.weight")

    def log_probs(self, ids: list[int], start: int, temperature: float) -> Array:
        """Of the tokens from `start` on, each given those before it."""
        logits = self.hidden(ids)[start - 1 : -1] @ self.weights["model.embed_tokens.weight"].T / temperature
        logits = logits - logits.max(1, keepdims=True)
        all_tokens = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        return all_tokens[np.arange(len(ids) - start), ids[start:]]

    def _norm(self, states: Array, name: str) -> Array:
        mean_square = (states**2).mean(1, keepdims=True)
        return states / np.sqrt(mean_square + self.config["rms_norm_eps"]) * self.weights[name]

    def _attend(self, at: str, states: Array) -> Array:
        size, heads = int(self.config["head_dim"]), int(self.config["num_attention_heads"])
        shared = heads // int(self.config["num_key_value_heads"])
        query, key, value = (states @ self.weights[f"{at}self_attn.{name}_proj.weight"].T for name in "qkv")
        future = np.triu(np.full((len(states), len(states)), -np.inf), 1)
        parts = []
        for head in range(heads):
            q, one = (
                query[:, head * size : (head + 1) * size],
                slice(head // shared * size, (head // shared + 1) * size),
            )
            scores = self._rotate(q) @ self._rotate(key[:, one]).T / np.sqrt(size) + future
            chances = np.exp(scores - scores.max(1, keepdims=True))
            parts.append(chances / chances.sum(1, keepdims=True) @ value[:, one])
        return np.concatenate(parts, 1) @ self.weights[f"{at}self_attn.o_proj.weight"].T

    def _rotate(self, vectors: Array) -> Array:
        half = vectors.shape[1] // 2
        theta = self.config["rope_parameters"]["rope_theta"]  # type: ignore[index]
        angles = np.outer(np.arange(len(vectors)), theta ** (-np.arange(half) / half))
        first, second = vectors[:, :half], vectors[:, half:]
        cos, sin = np.cos(angles), np.sin(angles)
        return np.concatenate([first * cos - second * sin, second * cos + first * sin], 1)


@dataclass
class Ridge:
    """Least squares with a penalty, older data fading; a refit moves the predictions by at most `clip`."""

    penalty: float
    clip: float
    fade: float = 0.8
    weights: Array | None = None
    designs: list[Array] = field(default_factory=list)
    targets: list[Array] = field(default_factory=list)

    def predict(self, design: Array) -> Array:
        return design @ self.weights if self.weights is not None else np.zeros(len(design))

    def fit(self, design: Array, target: Array) -> None:
        self.designs.append(design)
        self.targets.append(target)
        age = [self.fade**back for back in reversed(range(len(self.designs)))]
        count = sum(share * len(one) for share, one in zip(age, self.designs, strict=True))
        gram = sum(share * one.T @ one for share, one in zip(age, self.designs, strict=True))
        moment = sum(
            share * one.T @ target for share, one, target in zip(age, self.designs, self.targets, strict=True)
        )
        penalties = np.full(design.shape[1], self.penalty * count)
        penalties[-1] = 1e-6 * count
        best = np.linalg.solve(gram + np.diag(penalties), moment)
        if self.weights is None:
            self.weights = best
            return
        moved = np.sqrt(((design @ (best - self.weights)) ** 2).mean())
        self.weights = self.weights + min(1.0, self.clip / moved) * (best - self.weights)


def advantages(rewards: Array, values: Array, gamma: float, lam: float) -> Array:
    """Equation 16: sums of (gamma lambda)^l delta_(t+l), the state after the last token being worth nothing."""
    after = np.append(values[1:], 0.0)
    delta = rewards + gamma * after - values
    length = len(rewards)
    return np.array([sum((gamma * lam) ** (s - t) * delta[s] for s in range(t, length)) for t in range(length)])


def returns(rewards: Array, gamma: float) -> Array:
    length = len(rewards)
    return np.array([sum(gamma ** (s - t) * rewards[s] for s in range(t, length)) for t in range(length)])


def design(states: list[Array], totals: Array, prompts: list[int], longest: int) -> list[Array]:
    """Of each row: its states at length sqrt(D), how far along it is, what its prompt's others earned, and 1."""
    found = []
    for row, one in enumerate(states):
        others = [totals[i] for i, prompt in enumerate(prompts) if prompt == prompts[row] and i != row]
        unit = one / np.linalg.norm(one, axis=1, keepdims=True) * np.sqrt(one.shape[1])
        place = np.arange(len(one))[:, None] / longest
        mean = np.full((len(one), 1), np.mean(others) if others else 0.0)
        found.append(np.concatenate([unit, place, mean, np.ones((len(one), 1))], 1))
    return found
