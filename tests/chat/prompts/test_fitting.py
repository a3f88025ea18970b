"""Which messages of a long conversation stay in the prompt, and what does not fit."""

import pytest

from chat.errors import TooLong
from chat.prompts.fitting import fit
from chat.prompts.rendering import Renderer


def say(count, length=20):
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": f"{i:03}" + "x" * length} for i in range(count)]


def test_everything_stays_where_it_fits(tiny_policy):
    prompt = fit(say(5), Renderer(tiny_policy), context_tokens=1000, completion_tokens=100)
    assert prompt.dropped == 0
    assert prompt.messages == say(5)
    assert prompt.tokens == len(prompt.ids) <= 900


@pytest.mark.parametrize("count", [5, 21, 201])
def test_the_oldest_turns_go_first_and_no_more_than_needed(tiny_policy, count):
    renderer, system = Renderer(tiny_policy), {"role": "system", "content": "Be kind."}
    messages = [system, *say(count, length=40)]
    prompt = fit(messages, renderer, context_tokens=300, completion_tokens=100)
    assert prompt.messages == [system, *messages[1 + prompt.dropped :]]
    assert prompt.messages[1]["role"] == "user"
    assert prompt.messages[-1] == messages[-1]
    assert prompt.tokens <= 200
    if prompt.dropped:
        more = [system, *messages[1 + prompt.dropped - 2 :]]
        assert len(renderer.ids(more)) > 200


def test_the_completion_keeps_at_most_half_of_the_context(tiny_policy):
    prompt = fit(say(1, 60), Renderer(tiny_policy), context_tokens=300, completion_tokens=100_000)
    assert prompt.tokens <= 150


def test_a_last_message_that_does_not_fit_is_too_long(tiny_policy):
    with pytest.raises(TooLong):
        fit(say(3, 400), Renderer(tiny_policy), context_tokens=300, completion_tokens=100)


def test_without_a_tokenizer_lengths_are_guessed():
    prompt = fit(say(101, 300), None, context_tokens=2000, completion_tokens=500)
    assert prompt.ids is None
    assert 0 < prompt.dropped < 100
    with pytest.raises(TooLong):
        fit(say(1, 50_000), None, context_tokens=2000, completion_tokens=500)
