"""Several policies at once, within the places there are: the live one, the one on trial, and those replies name."""

import asyncio
import threading
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async

from chat import policies
from chat.errors import PolicyAway
from chat.models import EngineProcess, Policy
from chat.queue import reaping, replies
from chat.talker import engine_pool as keeping
from chat.talker.talker import Talker
from tests.chat.policies import install, swap
from tests.chat.talkers import ask, ended, talking, until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _hasty(monkeypatch):
    monkeypatch.setattr(keeping, "STEP_S", 0.02)


@pytest.fixture
def others(scripted_policy):
    return [Policy.objects.create(name=f"other-{n}", version=n, is_scripted=True) for n in (2, 3, 4)]


def loaded(talker):
    return sorted(loaded.policy.name for loaded in talker.engines.engines)


async def test_a_reply_comes_from_the_policy_that_it_names_and_others_from_the_live_one(alice, others, script):
    wanted = [others[0], None, others[1], None]
    async with talking():
        asked = [await ask(alice, policy) for policy in wanted]
        rows = [await ended(reply) for reply in asked]
    assert [row.state for row in rows] == ["complete"] * 4
    assert [row.policy.name for row in rows] == ["other-2", "scripted", "other-3", "scripted"]


async def test_a_named_policy_that_can_not_be_loaded_fails_its_replies_and_no_other(
    alice, scripted_policy, tiny_policy
):
    bad = await sync_to_async(install)(tiny_policy, "tiny-tampered")
    with (policies.directory(bad) / "policy.gguf").open("r+b") as file:
        file.seek(2000)
        file.write(b"\xff\xff\xff")
    async with talking() as talker:
        failing, other = await ask(alice, bad), await ask(alice)
        failed, row = await ended(failing), await ended(other)
        assert loaded(talker) == ["scripted"]
    assert (failed.state, failed.error, failed.policy) == ("failed", "bad_policy", bad)
    assert (row.state, row.policy) == ("complete", scripted_policy)


async def test_an_engine_that_does_not_start_fails_the_replies_that_named_it(alice, others, monkeypatch):
    async def start(engine, key):
        if engine.policy.name == "other-2":
            raise RuntimeError("out of memory")

    monkeypatch.setattr("chat.engines.scripted.ScriptedEngine.start", start)
    async with talking():
        row = await ended(await ask(alice, others[0]))
        assert (row.state, row.error) == ("interrupted", "policy_unavailable")
        assert (await ended(await ask(alice))).state == "complete"


async def test_the_choice_of_an_engine_holds_nobody_else_up(alice, others, monkeypatch):
    """It may have to ask a storage elsewhere what files the policy has."""
    asked, may_end, chosen, real = threading.Event(), threading.Event(), threading.Event(), keeping.engine_for

    def engine_for(policy):
        if policy == others[0]:
            asked.set()
            may_end.wait(30)
            chosen.set()
        return real(policy)

    monkeypatch.setattr(keeping, "engine_for", engine_for)
    async with talking():
        slow = await ask(alice, others[0])
        await until(asked.is_set)
        row = await ended(await ask(alice))
        assert row.state == "complete"
        assert not chosen.is_set()
        may_end.set()
        assert (await ended(slow)).state == "complete"


async def test_a_policy_whose_files_cannot_be_had_for_now_says_that_and_is_tried_again(alice, others, monkeypatch):
    is_away, real = [True], keeping.engine_for

    def engine_for(policy):
        if policy == others[0] and is_away:
            raise PolicyAway("no route to the storage")
        return real(policy)

    monkeypatch.setattr(keeping, "engine_for", engine_for)
    async with talking() as talker:
        row = await ended(await ask(alice, others[0]))
        assert (row.state, row.error) == ("interrupted", "policy_away")
        assert loaded(talker) == ["scripted"]
        is_away.clear()
        assert (await ended(await ask(alice, others[0]))).state == "complete"
    assert await EngineProcess.objects.filter(error__startswith="policy_away: no route", state="dead").aexists()


async def test_settings_that_name_no_engine_end_the_talker(db, settings):
    settings.CHAT_ENGINE = "chat.engines.unknown.Engine"
    await Policy.objects.acreate(name="wren", version=1, is_live=True, directory="wren")
    with pytest.raises(ImportError):
        async with asyncio.timeout(20):
            await Talker().run()
    assert (await EngineProcess.objects.aget()).error.startswith("CHAMSAE_ENGINE: ")


async def test_a_policy_that_nobody_waits_for_gives_its_place_away(alice, others, settings):
    settings.CHAT_ENGINES = 2
    async with talking() as talker:
        for policy in (*others, others[0]):
            row = await ended(await ask(alice, policy))
            assert (row.state, row.policy) == ("complete", policy)
            assert len(talker.engines.engines) <= 2
        assert loaded(talker) == ["other-2", "scripted"]


async def test_while_all_places_are_taken_a_named_reply_waits_and_then_says_why_it_failed(
    alice, others, settings, script, monkeypatch
):
    settings.CHAT_ENGINES = 2
    script.hang_after = 1
    async with talking() as talker:
        busy = await ask(alice, others[0])
        await until(lambda: talker.active)
        waiting = await ask(alice, others[1])
        await asyncio.sleep(0.3)
        await waiting.arefresh_from_db()
        assert waiting.state == "queued"
        assert loaded(talker) == ["other-2", "scripted"]
        monkeypatch.setattr(reaping, "QUEUE_PATIENCE", timedelta(0))
        await sync_to_async(reaping.reap)()
        row = await ended(waiting)
        assert (row.state, row.error) == ("failed", "engines_full")
        await sync_to_async(replies.stop)(busy.pk)
        script.hang_after = None
        assert (await ended(await ask(alice, others[1]))).state == "complete"


async def test_what_nobody_waits_for_is_unloaded_after_a_while_but_not_the_live_one_nor_the_one_on_trial(
    alice, others, monkeypatch
):
    monkeypatch.setattr(keeping, "UNLOAD_AFTER_S", 0.2)
    await Policy.objects.filter(pk=others[1].pk).aupdate(is_on_trial=True)
    async with talking() as talker:
        await ended(await ask(alice, others[0]))
        await until(lambda: "other-2" not in loaded(talker))
        await asyncio.sleep(0.3)
        assert loaded(talker) == ["other-3", "scripted"]
    assert await EngineProcess.objects.filter(error="", state="dead").acount() == 3


async def test_the_one_on_trial_makes_room_for_a_named_one_and_comes_back(alice, others, settings):
    settings.CHAT_ENGINES = 2
    await Policy.objects.filter(pk=others[1].pk).aupdate(is_on_trial=True)
    async with talking() as talker:
        await until(lambda: loaded(talker) == ["other-3", "scripted"])
        assert (await ended(await ask(alice, others[0]))).policy == others[0]
        await until(lambda: loaded(talker) == ["other-3", "scripted"])


async def test_the_former_live_policy_stays_for_those_who_name_it(alice, scripted_policy, others, script):
    script.seconds_a_token = 0.02
    async with talking() as talker:
        await until(lambda: talker.engines.current)
        await sync_to_async(swap)(scripted_policy, others[0])
        asked = [await ask(alice, scripted_policy) for _ in range(6)]
        rows = [await ended(reply) for reply in asked]
        assert {(row.state, row.policy_id) for row in rows} == {("complete", scripted_policy.pk)}
        assert talker.engines.current.policy == others[0]
        assert await EngineProcess.objects.filter(is_default=True).aget() == await EngineProcess.objects.aget(
            pk=talker.engines.current.row
        )


async def test_the_live_policy_needs_no_free_place(alice, scripted_policy, others, settings):
    settings.CHAT_ENGINES = 1
    async with talking() as talker:
        await until(lambda: talker.engines.current)
        await sync_to_async(swap)(scripted_policy, others[0])
        await until(lambda: loaded(talker) == ["other-2"])
        assert (await ended(await ask(alice))).policy == others[0]


async def test_a_policy_that_goes_live_takes_no_place_from_the_one_on_trial(alice, scripted_policy, others, settings):
    settings.CHAT_ENGINES = 2
    await Policy.objects.filter(pk=others[1].pk).aupdate(is_on_trial=True)
    async with talking() as talker:
        await until(lambda: loaded(talker) == ["other-3", "scripted"])
        await sync_to_async(swap)(scripted_policy, others[0])
        await until(lambda: loaded(talker) == ["other-2", "other-3"])
        assert await EngineProcess.objects.filter(policy=others[1]).acount() == 1, "it was not unloaded meanwhile"


async def test_the_place_beyond_the_limit_that_a_live_policy_took_is_given_back(
    alice, scripted_policy, others, settings, monkeypatch
):
    """It went live while the former one was starting: that one never was where replies go, and ends all the same."""
    settings.CHAT_ENGINES = 2
    await Policy.objects.filter(pk=others[1].pk).aupdate(is_on_trial=True)
    may_start = asyncio.Event()

    async def start(engine, key):
        if engine.policy == scripted_policy:
            await may_start.wait()

    monkeypatch.setattr("chat.engines.scripted.ScriptedEngine.start", start)
    async with talking() as talker:
        await until(lambda: loaded(talker) == ["other-3", "scripted"])
        await sync_to_async(swap)(scripted_policy, others[0])
        await until(lambda: loaded(talker) == ["other-2", "other-3", "scripted"])
        may_start.set()
        await until(lambda: loaded(talker) == ["other-2", "other-3"])
