"""A scripted policy can have a script of its own, for sites that tests and loads come to by the front door."""

import time

from chat.engines.engine import Parameters
from chat.engines.loading import engine_for
from chat.models import Policy
from chat.prompts.fitting import PolicyPrompt


async def said(source, asked="Say this back, please."):
    engine = engine_for(Policy(name="scripted", version=1, is_scripted=True, source=source))
    prompt = PolicyPrompt([{"role": "user", "content": asked}], None, 5)
    return [piece.text async for piece in engine.stream(prompt, Parameters())]


async def test_without_a_source_it_says_forty_canned_words():
    assert len("".join(await said("")).split()) == 40


async def test_an_echo_says_the_last_message_back_word_for_word():
    asked = "  two  spaces,\na line\t<b>"
    assert "".join(await said('{"echoes": true, "seconds_a_token": 0}', asked)) == asked


async def test_only_a_message_with_the_slow_word_is_answered_at_the_set_pace():
    source = '{"slow_word": "slowly", "tokens": 4, "seconds_a_token": 0.05}'
    started = time.monotonic()
    quick = await said(source, "Tell me.")
    between = time.monotonic()
    slow = await said(source, "Tell me slowly.")
    assert (len(quick), len(slow)) == (5, 5)
    assert time.monotonic() - between >= 4 * 0.05 > between - started


async def test_a_stamp_is_the_moment_at_which_the_token_was_made():
    before = time.time_ns() // 1000
    stamps = [int(text) for text in await said('{"stamps": true, "tokens": 3, "seconds_a_token": 0.001}') if text]
    assert [len(stamps), stamps == sorted(stamps)] == [3, True]
    assert before <= stamps[0] <= stamps[-1] <= time.time_ns() // 1000
