"""Addresses of services as settings: sentinels against a Redis that fails over, queues against RabbitMQ itself."""

import contextlib
import gc
import os
import shutil
import subprocess
import time
import uuid
import warnings

import pytest
import redis
from amqp.exceptions import PreconditionFailed
from celery import Celery
from celery.contrib.testing.worker import start_worker
from channels_redis.core import RedisChannelLayer
from kombu import Connection, Queue

from config import env, services
from config.sentinel_cache import SentinelCache
from config.services import BadAddress, Sentinels
from tests.site import free_port

pytestmark = pytest.mark.timeout(180)
WITHIN_S = 80.0
"""A sentinel whose machine is starved decides nothing for half a minute."""
RABBIT = os.environ.get("CELERY_BROKER_URL", "")


def test_sentinels_are_read_with_hosts_master_database_and_login():
    found = Sentinels.read("sentinel://chat:p%40ss@one,two:7/main/3")
    assert found == Sentinels((("one", 26379), ("two", 7)), "main", 3, "chat", "p@ss")
    assert found.login() == {"username": "chat", "password": "p@ss", "db": 3}
    assert Sentinels.read("sentinel://one/main").login() == {"db": 0}


@pytest.mark.parametrize(
    "url", ["sentinel://one", "sentinel:///main", "sentinel://one/main/x", "sentinel://one:x/main"]
)
def test_an_address_without_hosts_or_master_stops_the_start_and_does_not_show_the_password(url, monkeypatch):
    with pytest.raises(BadAddress):
        Sentinels.read(url)
    monkeypatch.setenv("REDIS_URL", url.replace("//", "//:secret@"))
    with pytest.raises(env.BadSetting) as error:
        env.address("REDIS_URL")
    assert "REDIS_URL" in str(error.value)
    assert "secret" not in str(error.value)


def test_each_library_gets_sentinels_in_its_own_spelling():
    url, options = services.broker("sentinel://:p%40ss@one,two:7/main/3", quorum=False, folder="")
    assert url == "sentinel://:p%40ss@one:26379/3;sentinel://:p%40ss@two:7/3"
    assert options == {"visibility_timeout": services.VISIBILITY_S, "master_name": "main"}
    host = services.channel_layer("sentinel://one/main")["CONFIG"]["hosts"][0]
    assert host["sentinels"] == (("one", 26379),)
    assert host["master_name"] == "main"


def test_other_addresses_go_on_as_they_are():
    assert services.broker("amqp://a", quorum=False, folder="") == ("amqp://a", {})
    assert services.broker("amqp://a", quorum=True, folder="") == ("amqp://a", {"confirm_publish": True})
    assert services.broker("filesystem://", quorum=False, folder="/f")[1]["control_folder"] == "/f/control"
    assert services.cache("redis://a")["BACKEND"] == "django.core.cache.backends.redis.RedisCache"
    assert services.channel_layer("redis://a")["CONFIG"]["hosts"][0]["address"] == "redis://a"


@contextlib.contextmanager
def started(*words):
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def until(condition):
    end = time.monotonic() + WITHIN_S
    while True:
        with contextlib.suppress(redis.RedisError):
            if condition():
                return
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def watched_redis(tmp_path):
    """A master with a replica and a sentinel: (address, process of the master)."""
    if shutil.which("redis-server") is None:
        pytest.skip("needs redis-server")
    first, second, watch = free_port(), free_port(), free_port()
    common = ["redis-server", "--save", "", "--appendonly", "no", "--dir", str(tmp_path), "--bind", "127.0.0.1"]
    rules = tmp_path / "sentinel.conf"
    rules.write_text(
        f"port {watch}\nbind 127.0.0.1\ndir {tmp_path}\nsentinel monitor main 127.0.0.1 {first} 1\n"
        "sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 2000\n"
    )
    with contextlib.ExitStack() as stack:
        master = stack.enter_context(started(*common, "--port", str(first), "--repl-diskless-sync-delay", "0"))
        until(redis.Redis(port=first).ping)
        stack.enter_context(started(*common, "--port", str(second), "--replicaof", "127.0.0.1", str(first)))
        stack.enter_context(started("redis-server", str(rules), "--sentinel"))
        sentinel = redis.Redis(port=watch, decode_responses=True)
        until(lambda: sentinel.execute_command("SENTINEL", "REPLICAS", "main"))
        until(lambda: redis.Redis(port=second).info("replication")["master_link_status"] == "up")
        yield f"sentinel://127.0.0.1:{watch}/main", master
        sentinel.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # both libraries leave connections to sentinels unclosed
        gc.collect()


async def test_cache_and_channel_layer_go_on_with_the_new_master_after_a_failover(watched_redis):
    url, master = watched_redis
    cache = SentinelCache(url, {"OPTIONS": services.cache(url)["OPTIONS"]})
    layer = RedisChannelLayer(**services.channel_layer(url)["CONFIG"])
    cache.set("kept", 1)
    here, there = await layer.new_channel(), await layer.new_channel()
    await layer.group_add("room", here)
    until(lambda: cache._cache.get_client().execute_command("WAIT", 1, 1000) == 1)
    master.kill()
    master.wait()

    until(lambda: cache.get("kept") == 1)
    assert cache.add("new", 2)
    with contextlib.suppress(redis.ConnectionError):  # the connection to the one that is gone
        await layer.group_add("room", there)
    await layer.group_add("room", there)
    await layer.group_send("room", {"type": "said"})
    assert (await layer.receive(there))["type"] == "said"
    await layer.close_pools()


def ran(app, task):
    with start_worker(app, perform_ping_check=False, pool="solo", loglevel="ERROR", shutdown_timeout=WITHIN_S):
        task.delay(41)
        until(lambda: app.done == [42])
    app.pool.force_close_all()
    app.close()


def app_over(url, *, quorum=False, **settings):
    address, options = services.broker(url, quorum=quorum, folder="")
    app = Celery("tests", broker=address, set_as_current=False)
    app.conf.update(broker_transport_options=options, task_ignore_result=True, task_default_queue=uuid.uuid4().hex)
    app.conf.update(worker_hijack_root_logger=False, **settings)
    app.done = []

    @app.task(name="tests.add_one", shared=False)
    def add_one(number):
        app.done.append(number + 1)

    return app, add_one


def test_celery_finds_the_master_by_its_sentinels(watched_redis):
    ran(*app_over(watched_redis[0]))


@pytest.mark.skipif(not RABBIT.startswith("amqp"), reason="needs RabbitMQ")
def test_a_quorum_queue_is_one_and_tasks_pass_through_it():
    app, task = app_over(
        RABBIT, quorum=True, task_default_queue_type="quorum", task_create_missing_queue_type="quorum"
    )
    ran(app, task)
    name = app.conf.task_default_queue
    for kind, expectation in (
        ("quorum", contextlib.nullcontext()),
        ("classic", pytest.raises(PreconditionFailed, match="inequivalent arg 'x-queue-type'")),
    ):
        with Connection(RABBIT) as connection, expectation:
            Queue(name, queue_arguments={"x-queue-type": kind}, channel=connection).queue_declare()
    with Connection(RABBIT) as connection:
        Queue(name, channel=connection).delete()
