"""Bulk completions on the real llama.cpp server with a tiny random policy."""

import asyncio
from dataclasses import replace
from operator import itemgetter

import pytest

from chat.completions import bulk, completing, giving_way
from chat.engines.child import ChildEngine
from chat.engines.engine import Parameters, Piece
from chat.engines.scripted import ScriptedEngine
from chat.errors import EngineDown, EngineTimeout, TooLong


def complete(policy, prompts, **options):
    """The sets in the order of their prompts."""
    return [replies for _, replies in sorted(bulk.complete_each(policy, prompts, **options), key=itemgetter(0))]


@pytest.mark.django_db(transaction=True)
def test_completes_each_prompt_n_times(tiny_live_policy):
    prompts = [[{"role": "user", "content": f"What is {i}?"}] for i in range(3)]
    seen = []
    parameters = Parameters(temperature=0.9, max_completion_tokens=12, seed=5)
    rows = complete(
        tiny_live_policy, prompts, n=2, parameters=parameters, on_progress=lambda done, of: seen.append((done, of))
    )
    again = complete(tiny_live_policy, prompts, n=2, parameters=parameters)
    assert [[c.text for c in row] for row in rows] == [[c.text for c in row] for row in again]
    assert [len(row) for row in rows] == [2, 2, 2]
    assert all(c.completion_tokens == 12 or c.finish_reason == "stop" for row in rows for c in row)
    assert seen == [(i, 6) for i in range(1, 7)]
    assert rows[0][0].text != rows[0][1].text


@pytest.mark.django_db(transaction=True)
def test_a_prompt_that_does_not_fit_is_an_error(tiny_live_policy):
    with pytest.raises(TooLong):
        complete(tiny_live_policy, [[{"role": "user", "content": "x1 " * 2000}]])


@pytest.mark.django_db(transaction=True)
def test_a_scripted_policy_completes_without_a_process(scripted_policy, script):
    ((one, two),) = complete(scripted_policy, [[{"role": "user", "content": "Hi"}]], n=2)
    assert one.text != two.text != ""  # another seed, other words
    assert (one.finish_reason, one.completion_tokens) == ("stop", 12)


@pytest.mark.django_db(transaction=True)
def test_an_engine_that_fails_is_an_error_of_its_class(scripted_policy, script, monkeypatch):
    monkeypatch.setattr(completing, "TRIES", 1)
    script.fail_after = 2
    with pytest.raises(EngineDown):
        complete(scripted_policy, [[{"role": "user", "content": "Hi"}]] * 3)


@pytest.mark.django_db(transaction=True)
def test_completions_of_a_prompt_are_asked_for_together_and_keep_their_seeds(tiny_live_policy, monkeypatch):
    prompts = [[{"role": "user", "content": "What is a star?"}], [{"role": "user", "content": "And a bird?"}]]
    parameters = Parameters(temperature=0.9, max_completion_tokens=12, seed=5)
    asked, stream_many = [], ChildEngine.stream_many

    def overheard(self, prompt, parameters, n):
        asked.append((parameters.seed, n))
        return stream_many(self, prompt, parameters, n)

    monkeypatch.setattr(ChildEngine, "stream_many", overheard)
    together = complete(tiny_live_policy, prompts, n=5, parameters=parameters)
    assert sorted(asked) == [(5, 4), (9, 1), (10, 4), (14, 1)]  # the engine has four slots
    for i, row in enumerate(together):
        for k, completed in enumerate(row):
            seeded = replace(parameters, seed=5 + i * 5 + k)
            ((alone,),) = complete(tiny_live_policy, [prompts[i]], parameters=seeded)
            assert alone.text == completed.text


def asked(*words):
    return [[{"role": "user", "content": word}] for word in words]


@pytest.fixture
def engine(monkeypatch, scripted_policy):
    """The scripted engine with a stream of the test's own: an async generator, of (prompt, seed), of pieces."""

    def install(stream):
        async def streamed(self, prompt, parameters):
            async for piece in stream(prompt.messages[-1]["content"], parameters.seed):
                yield piece

        monkeypatch.setattr(ScriptedEngine, "stream", streamed)
        monkeypatch.setattr(giving_way, "LOOK_EVERY_S", 0.005)
        monkeypatch.setattr(completing, "_pause_s", lambda tries: 0.0)
        return scripted_policy

    return install


@pytest.mark.django_db(transaction=True)
def test_a_person_stops_what_runs_and_only_the_unfinished_is_done_again(engine):
    begun, person_comes = [], False

    def look():
        nonlocal person_comes
        if person_comes and len(begun) == 2:
            person_comes = False
            return 0
        return 2

    async def stream(prompt, seed):
        nonlocal person_comes
        begun.append(seed)
        if len(begun) == 2:  # the other one has ended or will; this one is stopped
            await asyncio.sleep(0.05)
            person_comes = True
            await asyncio.Event().wait()
        yield Piece(f"{prompt} {seed}", "stop", 1, 1)

    policy = engine(stream)
    parameters = Parameters(seed=10)
    ((_, replies),) = bulk.complete_each(policy, asked("a"), n=2, parameters=parameters, look=look)
    assert [reply.text for reply in replies] == ["a 10", "a 11"]
    assert begun == [10, 11, 11]


@pytest.mark.django_db(transaction=True)
def test_a_time_out_costs_one_completion_which_is_tried_again(engine):
    failed = []

    async def stream(prompt, seed):
        if prompt == "b" and not failed:
            failed.append(seed)
            raise EngineTimeout("slow")
        yield Piece(f"{prompt} {seed}", "stop", 1, 1)

    rows = complete(engine(stream), asked("a", "b", "c"), parameters=Parameters(seed=1))
    assert [row[0].text for row in rows] == ["a 1", "b 2", "c 3"]


@pytest.mark.django_db(transaction=True)
def test_what_is_finished_is_given_before_the_failure_is_raised(engine):
    async def stream(prompt, seed):
        if prompt == "b":
            raise EngineTimeout("slow")
        yield Piece(f"{prompt} {seed}", "stop", 1, 1)

    sets = bulk.complete_each(engine(stream), asked("a", "b", "c"), parameters=Parameters(seed=1))
    assert {next(sets)[0], next(sets)[0]} == {0, 2}
    with pytest.raises(EngineTimeout):
        next(sets)


@pytest.mark.django_db(transaction=True)
def test_prompts_that_come_later_keep_the_seeds_of_their_numbers(engine):
    async def stream(prompt, seed):
        yield Piece(f"{prompt} {seed}", "stop", 1, 1)

    sets = dict(
        bulk.complete_each(engine(stream), asked("b", "d"), n=2, parameters=Parameters(seed=5), numbers=[1, 3])
    )
    assert [[reply.text for reply in sets[index]] for index in (0, 1)] == [["b 7", "b 8"], ["d 11", "d 12"]]


@pytest.mark.django_db(transaction=True)
def test_no_engine_is_started_where_none_is_wanted(tiny_live_policy):
    with pytest.raises(EngineDown):
        list(bulk.complete_each(tiny_live_policy, asked("a"), starts_engine=False))


@pytest.mark.django_db(transaction=True)
def test_one_at_a_time_nothing_that_is_finished_is_lost(engine):
    running = most = 0

    async def stream(prompt, seed):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        yield Piece(f"{prompt} {seed}", "stop", 1, 1)

    ((_, replies),) = bulk.complete_each(engine(stream), asked("a"), n=3, parameters=Parameters(seed=4), together=1)
    assert [reply.text for reply in replies] == ["a 4", "a 5", "a 6"]
    assert most == 1
