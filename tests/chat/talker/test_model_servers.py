"""A talker whose replies come from two servers elsewhere: promotion and rollback under streams, deaths, restarts."""

import asyncio
import time

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from chat.completions.streaming import CompletionSpec, stream_completions
from chat.engines.engine import Parameters
from chat.engines.servers import server as server_module
from chat.models import ModelServer, Policy
from chat.talker import engine_pool as keeping
from chat.talker import server_watch
from tests.chat.engines.fake_vllm import serving, words_of
from tests.chat.policies import install, install_adapter, swap
from tests.chat.talkers import ask, assert_whole, ended, ready, talking, until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _elsewhere(settings, monkeypatch):
    settings.CHAT_ENGINE = "chat.engines.openai.OpenAIEngine"
    settings.CHAT_ENGINE_MODEL, settings.CHAT_ENGINE_KEY, settings.CHAT_ENGINE_ADAPTERS = "", "", ""
    settings.CHAT_ENGINE_SLOTS, settings.CHAT_REPLIES_PER_USER, settings.CHAT_QUEUE_LIMIT = 64, 200, 500
    settings.CHAT_MAX_COMPLETION_TOKENS, settings.CHAT_CONTEXT_TOKENS = 400, 1024
    monkeypatch.setattr(keeping, "STEP_S", 0.05)
    monkeypatch.setattr(keeping, "PROBE_EVERY_S", 0.2)
    monkeypatch.setattr(server_watch, "WATCH_EVERY_S", 0.2)
    monkeypatch.setattr(server_module, "WATCH_EVERY_S", 0.2)


@pytest.fixture
def base(tiny_policy):
    return install(tiny_policy, "base", is_live=True)


@pytest.fixture
def policies_(tiny_policy, base):
    return [install_adapter(tiny_policy, name, base) for name in ("policy-1", "policy-2")]


def use(settings, servers):
    settings.CHAT_ENGINE_URLS = [server.url for server in servers]


def said_by(policy, count):
    words = words_of(f"weights of {policy.name}".encode()) if policy.base_id else words_of(b"")
    return "".join(words[place % len(words)] for place in range(count))


async def all_ended(asked, timeout=30):
    return await asyncio.gather(*(ended(reply, timeout) for reply in asked))


async def test_promotion_and_rollback_under_streams_reload_nothing(base, policies_, alice, settings):
    first, second = policies_
    await sync_to_async(swap)(base, first)
    with serving(2, tokens=60, held_after=5) as servers:
        use(settings, servers)
        async with talking() as talker:
            await ready(talker, first)
            old = [await ask(alice) for _ in range(8)]
            await until(lambda: len(talker.active) == 8 and all(active.text for active in talker.active.values()))
            await sync_to_async(swap)(first, second)
            await ready(talker, second)
            new = [await ask(alice) for _ in range(4)]
            running = talker.active
            await until(lambda: sum(one.loaded.policy == second and bool(one.text) for one in running.values()) == 4)
            await sync_to_async(swap)(second, first)
            await ready(talker, first)
            back = [await ask(alice) for _ in range(4)]
            await until(lambda: len(talker.active) == 16)  # all of them under way, on two versions
            for server in servers:
                await asyncio.to_thread(server.release)
            rows = [await all_ended(replies) for replies in (old, new, back)]
        told = [name for server in servers for route, name in server.told() if route == "load_lora_adapter"]
    for replies, policy in zip(rows, (first, second, first), strict=True):
        assert {(row.state, row.policy.name, row.message.text) for row in replies} == {
            ("complete", policy.name, said_by(policy, 60))
        }
    assert sorted(told) == [first.name] * 2 + [second.name] * 2  # once on each server, and the rollback not again
    await assert_whole()


async def test_a_killed_server_takes_its_streams_alone_and_each_has_its_end(base, policies_, alice, settings):
    policy = policies_[0]
    await sync_to_async(swap)(base, policy)
    with serving(2, tokens=80, held_after=5) as servers:
        use(settings, servers)
        async with talking() as talker:
            await ready(talker, policy)
            await until(lambda: all(policy.name in server.names() for server in servers))
            asked = [await ask(alice) for _ in range(50)]
            await until(lambda: len(talker.active) == 50 and all(active.text for active in talker.active.values()))
            counts = [server.streams for server in talker.servers.pool.servers]
            servers[0].kill()
            killed_at = time.monotonic()
            await asyncio.to_thread(servers[1].release)
            await until(lambda: talker.servers.pool.servers[0].streams == 0)
            after = [await ask(alice) for _ in range(5)]  # go on at once, at the server that is left
            rows = await all_ended([*asked, *after], timeout=60)
            assert time.monotonic() - killed_at < 60
            seen = {row.url: row async for row in ModelServer.objects.all()}
    assert counts == [25, 25]
    whole = said_by(policy, 80)
    states = [row.state for row in rows]
    assert states == ["complete" if row.message.text == whole else "interrupted" for row in rows]
    assert states.count("interrupted") == 25
    assert states[50:] == ["complete"] * 5
    assert all(whole.startswith(row.message.text) and row.message.text for row in rows)  # what was written is kept
    assert {row.error for row in rows if row.state == "interrupted"} == {"engine_down"}
    assert (seen[servers[0].url].state, seen[servers[1].url].state) == ("down", "up")
    await assert_whole()


async def test_restarted_servers_get_the_adapters_again_and_serve(base, policies_, alice, settings):
    policy = policies_[0]
    await sync_to_async(swap)(base, policy)
    with serving(2) as servers:
        use(settings, servers)
        async with talking() as talker:
            await ready(talker, policy)
            assert (await ended(await ask(alice))).state == "complete"
            for server in servers:
                server.kill()
            waiting = await ask(alice)
            await until(lambda: not any(server.is_up for server in talker.servers.pool.servers))
            for server in servers:
                server.start()
            row = await ended(waiting, timeout=30)
            assert (row.state, row.message.text) in (("complete", said_by(policy, 12)), ("interrupted", ""))
            assert (await ended(await ask(alice), timeout=30)).message.text == said_by(policy, 12)
            await until(lambda: all(policy.name in server.names() for server in servers))


async def test_a_policy_that_was_retired_is_taken_off_and_no_other(base, policies_, alice, settings, monkeypatch):
    monkeypatch.setattr(server_watch, "TIDY_EVERY_S", 0.3)
    first, second = policies_
    await sync_to_async(swap)(base, first)
    with serving(2) as servers:
        use(settings, servers)
        async with talking() as talker:
            await ready(talker, first)
            await ended(await ask(alice, second))
            await until(lambda: all(len(server.names()) == 3 for server in servers))
            await sync_to_async(swap)(first, base)
            await ready(talker, base)
            await Policy.objects.filter(pk=first.pk).aupdate(retired_at=timezone.now())
            await until(lambda: all(server.names() == ["base", second.name] for server in servers))
            assert (await ended(await ask(alice))).message.text == said_by(base, 12)


async def test_a_policy_that_no_server_takes_answers_nobody_and_the_one_before_goes_on(
    base, policies_, tiny_policy, alice, settings
):
    wide = await sync_to_async(install_adapter)(tiny_policy, "policy-wide", base, rank=32)
    with serving() as servers:
        use(settings, servers)
        async with talking() as talker:
            await ready(talker, base)
            await sync_to_async(swap)(base, wide)
            async with asyncio.timeout(10):
                while "rank 32" not in str([row.refusals async for row in ModelServer.objects.all()]):
                    await asyncio.sleep(0.05)
            row = await ended(await ask(alice))
            assert (row.state, row.policy, row.message.text) == ("complete", base, said_by(base, 12))


async def test_a_program_reads_its_completion_from_the_servers_too(base, policies_, alice, settings):
    policy = policies_[0]
    await sync_to_async(swap)(base, policy)
    spec = CompletionSpec(
        alice, None, None, Parameters(max_completion_tokens=50), turns=[{"role": "user", "content": "Hi"}]
    )
    with serving(2) as servers:
        use(settings, servers)
        async with talking() as talker:
            await ready(talker, policy)
            async with stream_completions(spec) as stream:
                text = "".join([piece.text async for piece in stream.pieces])
    assert (stream.policy, text) == (policy, said_by(policy, 12))
