"""What servers answer, read strictly: a completion that this process could not have sampled is none."""

import copy
from typing import Any

import pytest

from rlhf.training.rollouts.completions import BadCompletion, PromptRequest, ServerCompletion
from rlhf.training.rollouts.source import RolloutSampling

REQUEST = PromptRequest([5, 6], RolloutSampling(2, 4, 0.7), ends=(2, 3), vocabulary=40, seed=11)
ANSWER: dict[str, Any] = {
    "model": "rollout-1-a",
    "choices": [
        {"index": 1, "token_ids": [9, 8, 7, 6], "logprobs": {"token_logprobs": [-1.0, -2.0, -3.0, 0.0]}},
        {"index": 0, "token_ids": [9, 3], "logprobs": {"token_logprobs": [-0.5, -0.25]}, "prompt_token_ids": [5, 6]},
    ],
}


def test_completions_are_read_in_the_order_of_their_index() -> None:
    first, second = REQUEST.read(ANSWER, "rollout-1-a")
    assert first == ServerCompletion([9, 3], [-0.5, -0.25])
    assert second == ServerCompletion([9, 8, 7, 6], [-1.0, -2.0, -3.0, 0.0])


def test_nothing_is_left_to_the_defaults_of_a_server() -> None:
    body = REQUEST.body("rollout-1-a")
    plain = {"top_p": 1.0, "top_k": 0, "min_p": 0.0, "min_tokens": 0, "repetition_penalty": 1.0}
    assert body.items() >= plain.items()
    assert (body["prompt"], body["n"], body["max_tokens"], body["temperature"]) == ([5, 6], 2, 4, 0.7)
    assert (body["stop_token_ids"], body["seed"]) == ([2, 3], 11)
    assert body["ignore_eos"] is True  # of the server's tokenizer


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("model",), "base", "'base' answered"),
        (("choices",), [], "0 completions instead of 2"),
        (("choices",), None, "no token ids"),
        (("choices", 0, "token_ids"), None, "no token ids"),
        (("choices", 0, "logprobs"), None, "no token ids"),
        (("choices", 0, "token_ids"), [9, 8, 7], "3 tokens with 4 log-probs"),
        (("choices", 0, "token_ids"), [9, 8, 7, 40], "beyond the vocabulary of 40"),
        (("choices", 0, "token_ids"), [9, 2, 7, 6], "went on after an end token"),
        (("choices", 1, "token_ids"), [9, 8], "ended before the length limit"),
        (("choices", 1, "logprobs", "token_logprobs"), [-0.5, 0.5], "a log-probability that is none"),
        (("choices", 1, "logprobs", "token_logprobs"), [-0.5, float("nan")], "a log-probability that is none"),
        (("choices", 1, "logprobs", "token_logprobs"), [-0.5, None], "no token ids with log-probs"),
        (("choices", 1, "prompt_token_ids"), [6], "another prompt"),
    ],
)
def test_an_answer_that_cannot_be_is_refused(path: tuple[Any, ...], value: Any, said: str) -> None:
    answer: Any = copy.deepcopy(ANSWER)
    place = answer
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(BadCompletion, match=said):
        REQUEST.read(answer, "rollout-1-a")
