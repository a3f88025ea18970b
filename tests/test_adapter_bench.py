"""What the bench of adapters measures: an adapter beside its base says what the whole policy says."""

import asyncio

import pytest

from rlhf.training.artefacts import gguf_export
from rlhf.training.tokens import ChatTokenizer
from tests.bench import adapter_files, adapters
from tests.bench.adapters import Engine, Running

TOKENS = 12


def said(engine, prompts):
    running = Running([engine])
    try:
        running.start()
        return asyncio.run(adapters._greedy(running, prompts, TOKENS)), running.memory()
    finally:
        running.stop()


@pytest.mark.timeout(300)
def test_adapters_beside_their_base_say_what_the_whole_policies_say(tiny_policy, tmp_path):
    policies = []
    for seed in (1, 2):
        (tmp_path / str(seed)).mkdir()
        policies.append(adapter_files.write(tiny_policy, tmp_path / str(seed), seed))
    base = gguf_export.export(tiny_policy, tmp_path / "base.gguf", kind="f32")
    common = {"key": adapters.KEY, "host": "127.0.0.1", "context_tokens": 256, "slots": 1, "threads": 1}
    tokenizer = ChatTokenizer.load(tiny_policy)
    prompts = [tokenizer.prompt_ids([{"role": "user", "content": text}]) for text in adapters.QUESTIONS[:3]]
    whole = [said(Engine({**common, "gguf": str(policy.exact)}), prompts)[0] for policy in policies]
    names = tuple({"lora": [{"id": number, "scale": 1.0}]} for number in range(2))
    files = [str(policy.adapter) for policy in policies]
    beside, memory = said(
        Engine({**common, "gguf": str(base), "adapters": files}, "tests.bench.adapter_server", ({}, *names)), prompts
    )
    assert beside[3:] == [*whole[0], *whole[1]]
    assert beside[:3] != whole[0], "the base says something else"
    assert memory.files > 0


def test_the_share_of_a_text_before_it_parts():
    assert adapters.share_before_parting(["abcd", "ab"], ["abxx", "abc"]) == (0.5 + 1.0) / 2
