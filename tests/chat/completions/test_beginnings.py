"""A completion that was stopped goes on from its own tokens, and is told as one."""

import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest

from chat.completions import bulk, giving_way
from chat.completions.beginnings import Beginning, Heard, can_go_on
from chat.engines.child import ChildEngine
from chat.engines.engine import Parameters, Piece, Token
from chat.engines.loading import engine_for
from chat.engines.scripted import ScriptedEngine
from chat.prompts.fitting import PolicyPrompt
from chat.prompts.history import prompt_for, renderer_of

TEXT = "A star is a ball of hot gas. 별은 뜨거운 공! I love the songs of my family."
PROMPT = PolicyPrompt([{"role": "user", "content": "Hi"}], [1, 2, 3], 3)


def pieces_of(renderer, ids, before):
    """As llama.cpp streams them: a character of several tokens comes with the last of them, and only that is told."""
    context, text = list(before), ""
    for number in ids:
        added = renderer.added_by(number, context)
        context.append(number)
        if added:
            text += added
            yield Piece(added, tokens=(Token(added, -1.0, number),))


@pytest.fixture
def renderer(tiny_live_policy):
    return renderer_of(tiny_live_policy)


def heard(pieces):
    one = Heard()
    for piece in pieces:
        one.take(piece)
    return one


# --- of which tokens a text consists ------------------------------------------------------------------------------


@pytest.mark.django_db
def test_tokens_that_were_told_are_those_of_the_text_however_it_is_cut(renderer):
    letters = [renderer.continuation(letter)[0] for letter in "star"]
    assert letters != renderer.continuation("star"), "the tokenizer itself would cut it otherwise"
    assert heard(pieces_of(renderer, letters, [1])).beginning(renderer, PROMPT).ids == tuple(letters)


@pytest.mark.django_db
def test_tokens_of_a_character_that_were_not_told_are_filled_in(renderer):
    ids = renderer.continuation("a 별 b")
    told = [token.id for piece in pieces_of(renderer, ids, [1]) for token in piece.tokens]
    assert len(told) < len(ids)
    assert heard(pieces_of(renderer, ids, [1])).beginning(renderer, PROMPT).ids == tuple(ids)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [Piece("", tokens=(Token("", -1.0, 5),))],
        [Piece("star")],
        [Piece("star", tokens=(Token("star", -1.0, None),))],
        [Piece("\ufffd\ufffd", tokens=(Token("\ufffd", -1.0, 5),))],
    ],
)
def test_where_nobody_knows_the_tokens_there_is_no_beginning(renderer, pieces):
    assert heard(pieces).beginning(renderer, PROMPT) is None


def test_the_rest_has_its_own_seed_and_the_length_that_is_left():
    whole = Parameters(max_completion_tokens=10, seed=5)
    first = Beginning("ab", (7, 8))
    then = first.joined(Beginning("c", (9,)))
    assert then.prompt(PROMPT) == replace(PROMPT, ids=[1, 2, 3, 7, 8, 9], tokens=6, prefix="abc")
    assert then.parameters(whole).max_completion_tokens == 7
    assert len({5, first.parameters(whole).seed, then.parameters(whole).seed}) == 3
    assert first.parameters(whole) == first.parameters(whole), "from one place there is one rest"


@pytest.mark.django_db
def test_what_looks_back_over_the_text_is_generated_again(tiny_live_policy):
    engine = engine_for(tiny_live_policy)
    assert can_go_on(engine, PROMPT, Parameters())
    assert not can_go_on(engine, PROMPT, Parameters(stop=("x",)))
    assert not can_go_on(engine, PROMPT, Parameters(frequency_penalty=0.5))
    assert not can_go_on(engine, replace(PROMPT, ids=None), Parameters())
    assert not can_go_on(ScriptedEngine(tiny_live_policy), PROMPT, Parameters())


# --- a person comes again and again -------------------------------------------------------------------------------


@pytest.fixture
def interrupted(monkeypatch, tiny_live_policy, renderer):
    """An engine that says TEXT and is stopped by a person after every fourth piece; what it was asked for."""
    monkeypatch.setattr(giving_way, "LOOK_EVERY_S", 0.005)
    base = prompt_for(tiny_live_policy, [{"role": "user", "content": "Hi"}], 100)
    asked = []
    person = asyncio.Event()

    class Interrupted(ChildEngine):
        def config(self, directory):
            return {}

        async def stream(self, prompt, parameters):
            asked.append((prompt, parameters))
            begun = len(prompt.ids) - len(base.ids)
            ids = renderer.continuation(TEXT)
            rest = ids[begun : begun + parameters.max_completion_tokens]
            for number, piece in enumerate(pieces_of(renderer, rest, prompt.ids)):
                if number == 4:
                    person.set()
                    await asyncio.Event().wait()
                yield piece
            reason = "stop" if len(rest) < parameters.max_completion_tokens else "length"
            yield Piece("", reason, len(prompt.ids), len(rest))

        stream_many = ScriptedEngine.stream_many

        async def stop(self):
            pass

    def look():
        if person.is_set():
            person.clear()
            return 0
        return 1

    monkeypatch.setattr(bulk, "attached", lambda policy: Interrupted(policy))

    def complete(**parameters):
        asked.clear()
        options = {"parameters": Parameters(**parameters), "look": look}
        [(_, [completed])] = bulk.complete_each(tiny_live_policy, [[{"role": "user", "content": "Hi"}]], **options)
        return completed, asked, base

    return complete


@pytest.mark.django_db(transaction=True)
def test_it_comes_to_its_end_and_is_told_as_one_that_was_never_stopped(interrupted, renderer):
    completed, asked, base = interrupted(max_completion_tokens=100)
    ids = renderer.continuation(TEXT)
    assert completed == bulk.Completed(TEXT, "stop", len(base.ids), len(ids))
    assert len(asked) > len(ids) / 8, "it was stopped"
    assert len({parameters.seed for _, parameters in asked}) == len(asked), "no random number is used twice"
    for prompt, parameters in asked:
        assert prompt.ids == base.ids + ids[: len(prompt.ids) - len(base.ids)]
        assert len(prompt.ids) + parameters.max_completion_tokens == len(base.ids) + 100


@pytest.mark.django_db(transaction=True)
def test_one_that_is_stopped_at_its_greatest_length_is_cut_there(interrupted, renderer):
    completed, asked, _ = interrupted(max_completion_tokens=8)
    assert renderer.continuation(TEXT)[:8] == renderer.continuation(completed.text)
    assert (completed.finish_reason, completed.completion_tokens) == ("length", 8)
    assert len(asked) > 1, "it was stopped"


@pytest.mark.django_db(transaction=True)
def test_with_a_seed_it_is_generated_again_as_the_seed_has_it(interrupted, monkeypatch):
    monkeypatch.setattr(giving_way.Share, "hold", lambda self, work: work)  # nobody comes
    assert interrupted(max_completion_tokens=4, seed=9)[1][0][1].top_logprobs is None
    assert interrupted(max_completion_tokens=4)[1][0][1].top_logprobs == 0


# --- the real engine ----------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_real_engine_goes_on_to_the_text_that_it_would_have_written(tiny_live_policy, monkeypatch):
    """Always the most probable token: what goes on from any place is the same text."""
    prompts = [[{"role": "user", "content": "What is a star?"}]]
    parameters = Parameters(temperature=0.0, max_completion_tokens=40)
    whole = list(bulk.complete_each(tiny_live_policy, prompts, parameters=parameters))
    asked, ask = [], ChildEngine._ask

    async def stopped(self, prompt, parameters, n):
        asked.append(len(prompt.ids))
        pieces = 0
        async with aclosing(ask(self, prompt, parameters, n)) as stream:
            async for piece in stream:
                yield piece
                pieces += 1
                if pieces == (2, 5, None)[len(asked) - 1]:  # after a whole character: the tiny model is random
                    raise giving_way.GaveWay

    monkeypatch.setattr(ChildEngine, "_ask", stopped)
    assert list(bulk.complete_each(tiny_live_policy, prompts, parameters=parameters)) == whole
    assert asked == [asked[0], asked[0] + 2, asked[0] + 7]
