"""Bulk completions on the real llama.cpp server with a tiny random policy."""

import time

import pytest

from chat import completions
from chat.engines.engine import Parameters
from chat.errors import BadParameters, TooLong


@pytest.mark.django_db(transaction=True)
def test_completes_each_prompt_n_times(tiny_live_policy):
    prompts = [[{"role": "user", "content": f"What is {i}?"}] for i in range(3)]
    seen = []
    parameters = Parameters(temperature=0.9, max_completion_tokens=12, seed=5)
    started = time.monotonic()
    rows = completions.complete(
        tiny_live_policy, prompts, n=2, parameters=parameters, on_progress=lambda done, of: seen.append((done, of))
    )
    print(time.monotonic() - started)
    again = completions.complete(tiny_live_policy, prompts, n=2, parameters=parameters)
    assert [[c.text for c in row] for row in rows] == [[c.text for c in row] for row in again]
    assert [len(row) for row in rows] == [2, 2, 2]
    assert all(c.completion_tokens == 12 or c.finish_reason == "stop" for row in rows for c in row)
    assert seen == [(i, 6) for i in range(1, 7)]
    assert rows[0][0].text != rows[0][1].text
