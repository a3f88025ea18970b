"""Bulk completions on the real llama.cpp server with a tiny random policy."""

from dataclasses import replace

import pytest

from chat.completions import bulk
from chat.engines.child import ChildEngine
from chat.engines.engine import Parameters
from chat.errors import EngineDown, TooLong


@pytest.mark.django_db(transaction=True)
def test_completes_each_prompt_n_times(tiny_live_policy):
    prompts = [[{"role": "user", "content": f"What is {i}?"}] for i in range(3)]
    seen = []
    parameters = Parameters(temperature=0.9, max_completion_tokens=12, seed=5)
    rows = bulk.complete(
        tiny_live_policy, prompts, n=2, parameters=parameters, on_progress=lambda done, of: seen.append((done, of))
    )
    again = bulk.complete(tiny_live_policy, prompts, n=2, parameters=parameters)
    assert [[c.text for c in row] for row in rows] == [[c.text for c in row] for row in again]
    assert [len(row) for row in rows] == [2, 2, 2]
    assert all(c.completion_tokens == 12 or c.finish_reason == "stop" for row in rows for c in row)
    assert seen == [(i, 6) for i in range(1, 7)]
    assert rows[0][0].text != rows[0][1].text


@pytest.mark.django_db(transaction=True)
def test_a_prompt_that_does_not_fit_is_an_error(tiny_live_policy):
    with pytest.raises(TooLong):
        bulk.complete(tiny_live_policy, [[{"role": "user", "content": "x1 " * 2000}]])


@pytest.mark.django_db(transaction=True)
def test_a_scripted_policy_completes_without_a_process(scripted_policy, script):
    ((one, two),) = bulk.complete(scripted_policy, [[{"role": "user", "content": "Hi"}]], n=2)
    assert one.text == two.text != ""
    assert (one.finish_reason, one.completion_tokens) == ("stop", 12)


@pytest.mark.django_db(transaction=True)
def test_an_engine_that_fails_is_an_error_of_its_class(scripted_policy, script, monkeypatch):
    monkeypatch.setattr(bulk, "TRIES", 1)
    script.fail_after = 2
    with pytest.raises(EngineDown):
        bulk.complete(scripted_policy, [[{"role": "user", "content": "Hi"}]] * 3)


@pytest.mark.django_db(transaction=True)
def test_completions_of_a_prompt_are_asked_for_together_and_keep_their_seeds(tiny_live_policy, monkeypatch):
    prompts = [[{"role": "user", "content": "What is a star?"}], [{"role": "user", "content": "And a bird?"}]]
    parameters = Parameters(temperature=0.9, max_completion_tokens=12, seed=5)
    asked, stream_many = [], ChildEngine.stream_many

    def overheard(self, prompt, parameters, n):
        asked.append((parameters.seed, n))
        return stream_many(self, prompt, parameters, n)

    monkeypatch.setattr(ChildEngine, "stream_many", overheard)
    together = bulk.complete(tiny_live_policy, prompts, n=5, parameters=parameters)
    assert sorted(asked) == [(5, 4), (9, 1), (10, 4), (14, 1)]  # the engine has four slots
    for i, row in enumerate(together):
        for k, completed in enumerate(row):
            seeded = replace(parameters, seed=5 + i * 5 + k)
            ((alone,),) = bulk.complete(tiny_live_policy, [prompts[i]], parameters=seeded)
            assert alone.text == completed.text
