"""The two heads on a reply's pooled features: preference, and violation of a rule given the rule's text."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional

from rlhf.training.reward.features import ReplyFeatures, strongest

SOFTNESS = 0.5
"""Of the maximum over tokens; 0.3 and 1 were both good."""


@dataclass
class Heads:
    """F pooled features, S the first of them, W a token's features, D hidden size, R rules, Q rank of the product of
    reply and rule.

    The preference reads all features, the rules those of the adapted top alone: the trunk's gave the preference a
    point and cost the rules' AUC two.

    Sparrow's rule model (Glaese et al., arXiv:2209.14375, section 3.2) reads rule and dialogue in one prompt, one
    forward a rule. Here the rule's text is embedded once by the frozen base, and a bilinear form compares it with
    the reply's features: any number of rules costs one forward of the reply.

    The rules read each token as well and take the strongest: on prompts that elicit violations this had an AUC of
    0.75 where last token and mean had 0.63 (linear heads on frozen states, 600 replies).
    """

    preference: Tensor  # [F]
    violation: Tensor  # [S]  what all rules share
    reply: Tensor  # [S, Q]
    rule: Tensor  # [D, Q]
    rule_bias: Tensor  # [D]
    token: Tensor  # [W]  what all rules share, at each token
    token_reply: Tensor  # [W, Q]
    bias: Tensor  # []

    @classmethod
    def create(
        cls, features: int, rule_features: int, token_features: int, hidden: int, *, rank: int, seed: int
    ) -> "Heads":
        """Zero but for the rules' side, so that every first score is 0 and every first probability the base rate."""
        draw = torch.Generator().manual_seed(seed)
        heads = cls(
            preference=torch.zeros(features),
            violation=torch.zeros(rule_features),
            reply=torch.zeros(rule_features, rank),
            rule=torch.randn(hidden, rank, generator=draw) * rank**-0.5,
            rule_bias=torch.zeros(hidden),
            token=torch.zeros(token_features),
            token_reply=torch.zeros(token_features, rank),
            bias=torch.zeros(()),
        )
        for tensor in heads.parameters():
            tensor.requires_grad_()
        return heads

    def on(self, device: torch.device) -> "Heads":
        """Themselves where they are there already, else a copy."""
        if self.bias.device == device:
            return self
        moved = {field.name: getattr(self, field.name) for field in fields(self)}
        return Heads(
            **{name: one.detach().to(device).requires_grad_(one.requires_grad) for name, one in moved.items()}
        )

    def parameters(self) -> list[Tensor]:
        return [getattr(self, field.name) for field in fields(self)]

    def state(self) -> dict[str, Tensor]:
        return {field.name: getattr(self, field.name).detach().clone() for field in fields(self)}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> "Heads":
        return cls(**{field.name: state[field.name] for field in fields(cls)})

    def scores(self, features: Tensor) -> Tensor:
        """[N, F] -> [N]."""
        return features @ self.preference

    def violation_logits(self, features: ReplyFeatures, rules: Tensor) -> Tensor:
        """Features of N replies and standardised rule embeddings [R, D] -> [N, R]."""
        pooled = features.pooled[:, : len(self.violation)]
        table = rules @ self.rule
        shared = pooled @ self.violation + self.bias
        own = (pooled @ self.reply) @ table.T
        tokens = (features.tokens @ self.token)[..., None] + (features.tokens @ self.token_reply) @ table.T
        return shared[:, None] + rules @ self.rule_bias + own + strongest(tokens, features.where, SOFTNESS)


def ranking_loss(scores: Tensor, pairs: Tensor, weights: Tensor, margins: Tensor | None = None) -> Tensor:
    """Sum of weight * -log sigmoid(better - worse - margin).

    Bradley-Terry (InstructGPT, arXiv:2203.02155, equation 1) with Llama 2's margin (arXiv:2307.09288, equation 2).
    scores [N]; pairs [P, 2] as (better, worse) positions; weights [P], 1/C(K,2) for each pair of a K-way ranking;
    margins [P] on the scale of the scores, or none.
    """
    if not len(pairs):
        return scores.sum() * 0.0
    leads = scores[pairs[:, 0]] - scores[pairs[:, 1]]
    return -(weights * functional.logsigmoid(leads if margins is None else leads - margins)).sum()


def thumb_loss(scores: Tensor, up: Tensor, weights: Tensor, offset: float) -> Tensor:
    """Weighted binary cross-entropy a thumb: P(up) = sigmoid(score + offset). scores, up (0 or 1), weights [M].

    `offset` is the log odds of a thumb up among all, so that what a score must explain is how a reply differs from
    the others. Divided by the number of thumbs, as the violation loss is by that of labels.
    """
    if not len(scores):
        return scores.sum() * 0.0
    return functional.binary_cross_entropy_with_logits(scores + offset, up, weight=weights)


def violation_loss(logits: Tensor, where: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Weighted binary cross-entropy a label. logits [N, R]; where [M, 2] as (reply, rule) positions; labels,
    weights [M].

    Divided by the number of labels and not by the sum of weights, which would give whoever is alone in a batch all
    of it.
    """
    if not len(where):
        return logits.sum() * 0.0
    chosen = logits[where[:, 0], where[:, 1]]
    return functional.binary_cross_entropy_with_logits(chosen, labels, weight=weights)
