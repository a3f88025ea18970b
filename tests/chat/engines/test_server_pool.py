"""One engine over several servers that behave as vLLM does: which get a policy, take streams, or are refused."""

import asyncio
import signal
from contextlib import aclosing, asynccontextmanager

import pytest
from asgiref.sync import sync_to_async

from chat.engines.engine import Parameters
from chat.engines.loading import attached
from chat.engines.openai import OpenAIEngine
from chat.engines.servers import server as server_module
from chat.errors import BadPolicy, EngineDown, EngineRefused, WrongModel
from chat.prompts.fitting import PolicyPrompt
from tests.chat.engines.fake_vllm import serving, words_of
from tests.chat.policies import install, install_adapter

pytestmark = pytest.mark.django_db(transaction=True)
HELLO = PolicyPrompt([{"role": "user", "content": "Hello"}], None, 5)


@pytest.fixture(autouse=True)
def _elsewhere(settings):
    settings.CHAT_ENGINE_MODEL, settings.CHAT_ENGINE_KEY, settings.CHAT_ENGINE_ADAPTERS = "", "", ""


@pytest.fixture
def base(tiny_policy):
    return install(tiny_policy, "base", is_live=True)


@pytest.fixture
def policy(tiny_policy, base):
    return install_adapter(tiny_policy, "policy-1", base)


@pytest.fixture
def use(settings):
    def use(servers):
        settings.CHAT_ENGINE_URLS = [server.url for server in servers]

    return use


@asynccontextmanager
async def started(policy):
    engine = OpenAIEngine(policy)
    try:
        await engine.start("")
        yield engine
    finally:
        await engine.stop()


async def until(condition, timeout=10):
    async with asyncio.timeout(timeout):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.05)


async def text_of(engine, **parameters):
    parameters = {"max_completion_tokens": 50, **parameters}
    return "".join([piece.text async for piece in engine.stream(HELLO, Parameters(**parameters))])


def said_by(policy, count=12):
    return "".join(words_of(f"weights of {policy.name}".encode())[:count])


async def test_a_policy_is_put_on_every_server_once_and_answers_under_its_name(policy, use):
    with serving(2) as servers:
        use(servers)
        async with started(policy) as engine:
            assert await text_of(engine) == said_by(policy)
            await until(lambda: all(policy.name in server.names() for server in servers))
            assert await engine.is_healthy()
        async with started(policy) as again:  # a rollback, or a talker that was restarted: it is there
            assert await text_of(again) == said_by(policy)
        asked = [told for server in servers for told in server.told() if told[0] == "load_lora_adapter"]
    assert asked == [["load_lora_adapter", policy.name]] * 2


async def test_the_base_is_a_name_that_the_server_lists(base, use):
    with serving() as servers:
        use(servers)
        async with started(base) as engine:
            assert await text_of(engine) == "".join(words_of(b"")[:12])
        assert servers[0].told() == [["chat/completions", "base"]]


async def test_streams_go_where_there_are_fewest(policy, use, settings):
    with serving(2, held_after=2) as servers:
        use(servers)
        async with started(policy) as engine:
            await until(lambda: all(policy.name in server.names() for server in servers))
            await engine._pool.look()
            assert engine.slots() == 2 * settings.CHAT_ENGINE_SLOTS
            texts = asyncio.gather(*(text_of(engine) for _ in range(8)))
            await until(lambda: sum(len(server.told()) for server in servers) == 8 + 2)
            for server in servers:
                await asyncio.to_thread(server.release)
            assert set(await texts) == {said_by(policy)}
        counts = [[told[0] for told in server.told()].count("chat/completions") for server in servers]
    assert counts == [4, 4]


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ({"takes_adapters": False}, "takes no adapters while it runs"),
        ({"max_lora_rank": 8}, "LoRA rank 16 is greater than max_lora_rank 8"),
        ({"base": "other"}, "does not have base, whose weights this policy changes"),
    ],
)
async def test_a_server_that_cannot_take_the_policy_says_why(policy, use, behaviour, reason):
    with serving(**behaviour) as servers:
        use(servers)
        with pytest.raises(EngineRefused, match=reason):
            async with started(policy):
                pass


async def test_the_path_is_the_one_that_the_server_sees(policy, use, settings, tmp_path):
    with serving() as servers:
        use(servers)
        settings.CHAT_ENGINE_ADAPTERS = str(tmp_path / "mnt")
        with pytest.raises(EngineRefused, match=f"no adapter at {tmp_path}/mnt/policy-1/adapter .CHAMSAE_ENGINE_AD"):
            async with started(policy):
                pass
        (tmp_path / "mnt").symlink_to(settings.MODELS_DIR)
        async with started(policy) as engine:
            assert await text_of(engine) == said_by(policy)


async def test_an_adapter_that_was_changed_on_disk_is_put_nowhere(policy, use, settings):
    (settings.MODELS_DIR / policy.directory / "adapter/adapter_model.safetensors").write_bytes(b"weights of policy-X")
    with serving() as servers:
        use(servers)
        with pytest.raises(BadPolicy, match="differs from the manifest"):
            async with started(policy):
                pass
        assert servers[0].told() == []


async def test_one_server_is_enough_and_the_other_gets_the_policy_when_it_comes(policy, use):
    with serving(2) as servers:
        use(servers)
        servers[1].kill()
        async with started(policy) as engine:
            assert await text_of(engine) == said_by(policy)
            servers[1].start()
            await until(lambda: servers[1].names())
            async with asyncio.timeout(10):
                while len(engine._pool.holding(policy.name)) < 2:
                    assert await engine.is_healthy()
                    await asyncio.sleep(0.1)


async def test_a_restarted_server_has_lost_the_policy_and_gets_it_again(policy, use, monkeypatch):
    monkeypatch.setattr(server_module, "WATCH_EVERY_S", 0.2)
    with serving() as servers:
        use(servers)
        async with started(policy) as engine:
            for _ in range(2):
                servers[0].kill()
                servers[0].start()
                assert await text_of(engine) == said_by(policy)  # nobody has looked: it is asked, and lacks it
            servers[0].kill()
            servers[0].start()
            async with asyncio.timeout(10):
                while policy.name not in await asyncio.to_thread(servers[0].names):
                    await engine.is_healthy()
                    await asyncio.sleep(0.1)


async def test_what_another_model_writes_is_shown_nobody(policy, use):
    with serving(stamp="base") as servers:
        use(servers)
        async with started(policy) as engine:
            with pytest.raises(WrongModel, match="'base' answered in the place of 'policy-1'"):
                await text_of(engine)


async def test_a_stream_moves_only_before_its_first_piece(policy, use):
    with serving(2, held_after=1) as servers:
        use(servers)
        async with started(policy) as engine:
            await until(lambda: all(policy.name in server.names() for server in servers))
            await engine._pool.look()
            begun = engine.stream(HELLO, Parameters(max_completion_tokens=50))
            async with aclosing(begun):
                first = await anext(begun)  # on the first server, which has no stream
                servers[0].kill()
                with pytest.raises(EngineDown):
                    [piece async for piece in begun]
            assert first.text
            await asyncio.to_thread(servers[1].release)
            engine._pool.servers[0]._is_doubted = False  # nobody knows yet that it is gone
            assert await text_of(engine) == said_by(policy)


async def test_a_silent_server_is_given_up_with_the_streams_that_wait_for_it(policy, use, monkeypatch):
    monkeypatch.setattr(server_module, "WATCH_EVERY_S", 0.1)
    monkeypatch.setattr(server_module, "SILENT_LIMIT_S", 0.5)
    with serving(held_after=1) as servers:
        use(servers)
        async with started(policy) as engine:
            stream = engine.stream(HELLO, Parameters(max_completion_tokens=50))
            async with aclosing(stream), asyncio.timeout(20):
                await anext(stream)
                servers[0].signal(signal.SIGSTOP)
                with pytest.raises(EngineDown, match="fell silent"):
                    [piece async for piece in stream]
            servers[0].signal(signal.SIGCONT)
            await asyncio.to_thread(servers[0].release)
            async with asyncio.timeout(10):
                while not await engine.is_healthy():
                    await asyncio.sleep(0.1)
            assert await text_of(engine) == said_by(policy)


async def test_a_server_whose_engine_is_dead_gets_no_stream_though_it_lists_the_policy(policy, use):
    with serving(health=503) as servers:
        use(servers)
        with pytest.raises(EngineDown, match=r"is not healthy \(HTTP 503\)"):
            async with started(policy):
                pass


async def test_whoever_attaches_puts_the_policy_where_nobody_has(policy, use, settings):
    """As a program's request does in a web process, or a command that samples a policy that answers nobody."""
    settings.CHAT_ENGINE = "chat.engines.openai.OpenAIEngine"
    with serving(2) as servers:
        use(servers)
        engine = await sync_to_async(attached)(policy)
        assert await text_of(engine) == said_by(policy)
        await engine.stop()
