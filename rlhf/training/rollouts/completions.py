"""What a server is asked for so that it samples as this process does, and its answer: ids and log-probs, checked.

The form is vLLM's: `/v1/completions` with token ids in and `token_ids` beside the log-probs out.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlhf.training.rollouts.source import RolloutSampling


class BadCompletion(Exception):
    """A server's completion is not one that this process could have sampled."""


@dataclass(frozen=True)
class PromptRequest:
    """The completions of one prompt."""

    prompt: Sequence[int]
    sampling: RolloutSampling
    ends: Sequence[int]
    """Token ids that end a completion."""
    vocabulary: int
    """Ids are below it."""
    seed: int

    def body(self, model: str) -> dict[str, Any]:
        """All that a server could have defaults of its own for is said: plain sampling, whatever its files say. Its
        tokenizer may know an end token that is none here; only `stop_token_ids` end a completion."""
        return {
            "model": model,
            "prompt": list(self.prompt),
            "n": self.sampling.completions_per_prompt,
            "max_tokens": self.sampling.max_tokens,
            "temperature": self.sampling.temperature,
            "top_p": 1.0,
            "top_k": 0,
            "min_p": 0.0,
            "min_tokens": 0,
            "repetition_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "stop_token_ids": list(self.ends),
            "ignore_eos": True,
            "seed": self.seed,
            "logprobs": 0,
            "return_token_ids": True,
            "return_tokens_as_token_ids": True,
            "stream": False,
        }

    def read(self, answer: Mapping[str, Any], model: str) -> list["ServerCompletion"]:
        """Raises BadCompletion."""
        try:
            if answer["model"] != model:
                raise BadCompletion(f"{answer['model']!r} answered in the place of {model!r}")
            choices = sorted(answer["choices"], key=lambda choice: int(choice["index"]))
            found = [self._completion(choice) for choice in choices]
        except (KeyError, TypeError, ValueError) as error:
            raise BadCompletion(f"the answer has no token ids with log-probs: {error!r}") from error
        if len(found) != self.sampling.completions_per_prompt:
            raise BadCompletion(f"{len(found)} completions instead of {self.sampling.completions_per_prompt}")
        return found

    def _completion(self, choice: Mapping[str, Any]) -> "ServerCompletion":
        ids = [int(number) for number in choice["token_ids"]]
        log_probs = [float(number) for number in choice["logprobs"]["token_logprobs"]]
        prompt = choice.get("prompt_token_ids")
        if prompt is not None and list(prompt) != list(self.prompt):
            raise BadCompletion("it completed another prompt than it was sent")
        self.check(ids, log_probs)
        return ServerCompletion(ids, log_probs)

    def check(self, ids: Sequence[int], log_probs: Sequence[float]) -> None:
        """Raises BadCompletion where this sampling could not have made it."""
        if len(ids) != len(log_probs) or not 1 <= len(ids) <= self.sampling.max_tokens:
            raise BadCompletion(f"{len(ids)} tokens with {len(log_probs)} log-probs")
        if not all(0 <= number < self.vocabulary for number in ids):
            raise BadCompletion(f"a token id beyond the vocabulary of {self.vocabulary}")
        if not all(math.isfinite(number) and number <= 1e-3 for number in log_probs):
            raise BadCompletion("a log-probability that is none")
        if any(number in self.ends for number in ids[:-1]):
            raise BadCompletion("it went on after an end token")
        if len(ids) < self.sampling.max_tokens and ids[-1] not in self.ends:
            raise BadCompletion("it ended before the length limit and without an end token")


@dataclass(frozen=True)
class ServerCompletion:
    """The end token included, where there is one."""

    ids: list[int]
    log_probs: list[float]
    """Of each token as it was drawn."""
