"""A saved reward model as a reward function: with TRL's signature, and of our sampler's completions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from rlhf.training.model.rollout import Rollout
from rlhf.training.ppo.config import PpoConfig
from rlhf.training.ppo.shaping import ScoreScale, ShapedReward, shape
from rlhf.training.reward import model as reward_model
from rlhf.training.reward.features import EncodedReply, encode
from rlhf.training.reward.model import RewardModel
from rlhf.training.texts import has_sentence, words
from rlhf.training.tokens import ChatTokenizer, Message


class ChamsaeReward:
    """reward = clipped score - weight * P(violation) - penalties, shaped exactly as our PPO shapes it.

    `scale`: mean and spread of the base's scores; unless it is set, the scores stay as the model gives them.
    """

    __name__ = "chamsae_reward"

    def __init__(self, model: RewardModel, tokenizer: ChatTokenizer, shaping: PpoConfig | None = None) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.shaping = shaping or PpoConfig()
        self.scale = ScoreScale(0.0, 1.0)

    @classmethod
    def load(
        cls, directory: Path | str, shaping: PpoConfig | None = None, base: Path | None = None
    ) -> "ChamsaeReward":
        """From a published reward model directory, on `base` or on the base that it names."""
        base = base or reward_model.base_of(Path(directory), [])
        return cls(reward_model.load(Path(directory), base=base), ChatTokenizer.load(base), shaping)

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **kwargs: Any) -> list[float]:
        """TRL calls with prompts, completions, completion_ids and the data set's columns."""
        ids = kwargs.get("completion_ids") or [None] * len(prompts)
        rows = [self._row(p, c, i) for p, c, i in zip(prompts, completions, ids, strict=True)]
        scored = self.model.judge_rows(rows, self.tokenizer.padding_id)
        shaped = shape(
            scored.scores,
            scored.any_violation,
            torch.tensor([len(words(_text_of(completion))) for completion in completions]),
            torch.tensor([row.ids[-1] in self.tokenizer.end_ids for row in rows]),
            self.scale,
            self.shaping,
            speaks=torch.tensor([has_sentence(_text_of(completion)) for completion in completions]),
        )
        return [float(value) for value in shaped.total]

    def of_rollout(self, rollout: Rollout) -> ShapedReward:
        """Of completions that our sampler drew from the model's own base."""
        scores, p_violation = self.model.score(rollout, rollout.states)
        texts = [self.tokenizer.decode(ids) for ids in rollout.completions()]
        return shape(
            scores,
            p_violation,
            torch.tensor([len(words(text)) for text in texts], device=scores.device),
            rollout.ended,
            self.scale,
            self.shaping,
            speaks=torch.tensor([has_sentence(text) for text in texts], device=scores.device),
        )

    def _row(self, prompt: Any, completion: Any, ids: Sequence[int] | None) -> EncodedReply:
        """The very tokens, where they are given. Without them a completion counts as ended by the model."""
        messages: list[Message] = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
        if ids is not None:
            start = self.tokenizer.prompt_ids(messages)
            return EncodedReply((*start, *ids), len(start))
        return encode(self.tokenizer, messages, _text_of(completion), finished=True, max_completion_tokens=512)


def _text_of(completion: Any) -> str:
    """Of a completion in either of TRL's forms, plain or conversational."""
    return completion if isinstance(completion, str) else str(completion[-1]["content"])
