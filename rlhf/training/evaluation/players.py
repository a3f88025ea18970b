"""Policies that answer the prompts of an evaluation, and how far their replies are from the base's distribution."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from rlhf.training.model.decoder import Decoder
from rlhf.training.model.logprobs import token_log_probs
from rlhf.training.model.rollout import PAD, Rollout
from rlhf.training.model.sampler import sample
from rlhf.training.model.scoring import score_completions
from rlhf.training.reward.model import RewardModel
from rlhf.training.snapshot.files import PlainReply, PromptMessages, thaw
from rlhf.training.tokens import ChatTokenizer

PROMPTS_AT_ONCE = 16
"""Between two such batches a stop is noticed."""
SCORED_ROWS = 16
WINDOW = 16
HUMAN_TEXT = Path(__file__).with_name("human_text.txt")


@dataclass(frozen=True)
class Draw:
    """One sampled reply; `tokens` counts the end token."""

    reply: PlainReply
    tokens: int


@dataclass(frozen=True)
class DriftFromBase:
    """How far one reply is from what the base writes, summed over its `tokens`, the end token included."""

    kl_nats: float
    """log p(reply | its policy) - log p(reply | base) at the sampling temperature (k1)."""
    surprise_nats: float
    """-log p(reply | base) at temperature 1."""
    tokens: int
    worst_window_nats: float = 0.0
    """Of the WINDOW tokens in a row that surprise the base most, nats a token; of a shorter reply all of it."""
    topic_nats: float | None = None
    """How much likelier the base finds the reply after its own prompt than after another's, nats a token: their
    pointwise mutual information (Church and Hanks, 1990). None where there is no other prompt."""


@dataclass
class Player:
    """A policy with the settings that all players share."""

    transformer: Decoder
    tokenizer: ChatTokenizer
    temperature: float
    max_tokens: int
    poll: Callable[[], None]

    def rollouts(
        self, prompts: Sequence[PromptMessages], draws: int, seed: int
    ) -> Iterator[tuple[list[PromptMessages], Rollout]]:
        """Batches of prompts with `draws` completions of each."""
        for start in range(0, len(prompts), PROMPTS_AT_ONCE):
            self.poll()
            chosen = list(prompts[start : start + PROMPTS_AT_ONCE])
            yield (
                chosen,
                sample(
                    self.transformer,
                    [self.tokenizer.prompt_ids(thaw(p)) for p in chosen],
                    completions_per_prompt=draws,
                    max_tokens=self.max_tokens,
                    temperature=self.temperature,
                    seed=seed * 1_000_003 + start,
                ),
            )

    def draws_of(self, prompts: Sequence[PromptMessages], rollout: Rollout, draws: int) -> list[list[Draw]]:
        """[prompts][draws]."""
        texts = [self.tokenizer.decode(ids) for ids in rollout.completions()]
        lengths = rollout.completion_lengths.tolist()
        made = [
            Draw(PlainReply(prompts[row // draws], text, bool(rollout.ended[row])), lengths[row])
            for row, text in enumerate(texts)
        ]
        return [made[start : start + draws] for start in range(0, len(made), draws)]

    def best_of(
        self, prompts: Sequence[PromptMessages], n: int, seed: int, judge: RewardModel, shared: bool
    ) -> list[Draw]:
        """Of n draws the one with the highest training reward; `shared`: the reward model uses this trunk."""
        best = []
        for chosen, rollout in self.rollouts(prompts, n, seed):
            states = rollout.states if shared else judge.transformer.run_trunk(rollout.ids)
            scores, _ = judge.score(rollout, states)
            tops = scores.reshape(-1, n).argmax(1).tolist()
            made = self.draws_of(chosen, rollout, n)
            best += [draws[top] for draws, top in zip(made, tops, strict=True)]
        return best

    def sample_with_drift(
        self, bases: Sequence[Decoder], prompts: Sequence[PromptMessages], draws: int, seed: int
    ) -> tuple[list[list[Draw]], list[list[DriftFromBase]]]:
        """Draws, and from each of the bases the drift of each prompt's first draw; from the last one with the topic,
        for which each reply is read after the prompt that follows its own."""
        found: list[list[Draw]] = []
        drifts: list[list[DriftFromBase]] = [[] for _ in bases]
        ids = [self.tokenizer.prompt_ids(thaw(prompt)) for prompt in [*prompts[1:], prompts[0]]]
        for chosen, rollout in self.rollouts(prompts, draws, seed):
            found += self.draws_of(chosen, rollout, draws)
            first = rollout.select(torch.arange(0, len(rollout), draws))
            others = ids[len(found) - len(chosen) : len(found)] if len(prompts) > 1 else []
            for base, drift in zip(bases, drifts, strict=True):
                measured = measure_drift(base, first, self.transformer, self.temperature)
                drift += _with_topic(measured, base, first, others) if others and base is bases[-1] else measured
        return found, drifts


def measure_drift(base: Decoder, rollout: Rollout, policy: Decoder, temperature: float) -> list[DriftFromBase]:
    """For each row of a rollout of `policy`. Its trunk states are reused where `base` has the same trunk."""
    rows = list(torch.split(torch.arange(len(rollout)), SCORED_ROWS))
    seen = rollout if policy.shares_trunk(base) else replace(rollout, states=base.run_trunk(rollout.ids))
    theirs = score_completions(base, seen, None, rows, temperature=temperature)
    ours = theirs if policy is base else score_completions(policy, rollout, None, rows, temperature=temperature)
    kl = (ours.log_probs - theirs.log_probs).sum(1).tolist()
    targets = rollout.ids[rollout.completion_mask()]
    unexpected = -token_log_probs(theirs.hidden, base.head, targets, temperature=1.0).log_probs
    lengths = rollout.completion_lengths.tolist()
    parts = torch.split(unexpected, lengths)
    surprise, worst = [float(part.sum()) for part in parts], [_worst_window(part) for part in parts]
    return [DriftFromBase(*drift) for drift in zip(kl, surprise, lengths, worst, strict=True)]


def _worst_window(unexpected: Tensor) -> float:
    return float(unexpected.unfold(0, min(WINDOW, len(unexpected)), 1).mean(1).max())


def _with_topic(
    drifts: Sequence[DriftFromBase], base: Decoder, rollout: Rollout, others: Sequence[Sequence[int]]
) -> list[DriftFromBase]:
    moved = after_other_prompts(base, rollout, others)
    rows = list(torch.split(torch.arange(len(moved)), SCORED_ROWS))
    expected = score_completions(base, moved, None, rows, temperature=1.0).log_probs.sum(1).tolist()
    return [
        replace(drift, topic_nats=(-log_prob - drift.surprise_nats) / drift.tokens)
        for drift, log_prob in zip(drifts, expected, strict=True)
    ]


def after_other_prompts(base: Decoder, rollout: Rollout, others: Sequence[Sequence[int]]) -> Rollout:
    """The same completions, each after another prompt's ids."""
    ends = zip(rollout.ids.tolist(), rollout.prompt_lengths.tolist(), rollout.lengths.tolist(), strict=True)
    rows = [[*other, *ids[start:end]] for other, (ids, start, end) in zip(others, ends, strict=True)]
    width = max(map(len, rows))
    ids = torch.tensor([row + [PAD] * (width - len(row)) for row in rows], device=rollout.ids.device)
    return replace(
        rollout,
        ids=ids,
        prompt_lengths=torch.tensor([len(other) for other in others], device=ids.device),
        lengths=torch.tensor([len(row) for row in rows], device=ids.device),
        states=base.run_trunk(ids),
    )


@torch.no_grad()
def human_text_nll(transformer: Decoder, tokenizer: ChatTokenizer) -> float:
    """Mean negative log-probability of a token of human text, nats: it rises where a policy forgot the language."""
    total, count = 0.0, 0
    for line in HUMAN_TEXT.read_text().splitlines():
        ids = torch.tensor(tokenizer.text_ids(line), device=transformer.device)
        hidden = transformer.run_top(transformer.run_trunk(ids[None]))[0]
        logs = token_log_probs(hidden[:-1], transformer.head, ids[1:], temperature=1.0).log_probs
        total, count = total - float(logs.sum()), count + len(ids) - 1
    return total / count
