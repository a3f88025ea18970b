"""The broker of files: a message is there whole or not at all."""

import threading
from queue import Empty

import pytest
from kombu import Connection

import config.celery  # noqa: F401  puts our transport in the place of kombu's
from config import broker

SIZE = 200_000


@pytest.fixture
def channel(tmp_path):
    folders = {"data_folder_in": str(tmp_path), "data_folder_out": str(tmp_path)}
    options = {**folders, "control_folder": str(tmp_path / "control")}
    with Connection("filesystem://localhost/", transport_options=options) as connection:
        yield connection.channel()


def test_the_site_uses_it(channel):
    assert isinstance(channel, broker.Channel)


def test_whoever_reads_while_another_writes_gets_whole_messages(channel):
    payloads = [{"number": number, "text": "x" * SIZE} for number in range(60)]
    writer = threading.Thread(target=lambda: [channel._put("q", payload) for payload in payloads])
    writer.start()
    read = []
    while writer.is_alive() or len(read) < len(payloads):
        try:
            read.append(channel._get("q"))
        except Empty:
            continue
    assert sorted(read, key=lambda payload: payload["number"]) == payloads
    with pytest.raises(Empty):
        channel._get("q")


def test_half_a_message_is_passed_over(channel, tmp_path):
    (tmp_path / "1_a.q.msg").write_text('{"number": ')
    with pytest.raises(Empty):
        channel._get("q")
    channel._put("q", {"number": 1})
    assert channel._get("q") == {"number": 1}


def test_queues_that_are_bound_at_once_are_all_in_the_table_and_none_reads_half_of_it(channel):
    names = [f"queue-{number}" for number in range(24)]
    failed = []

    def bind(name):
        try:
            channel._queue_bind("celery", name, "", name)
            assert name in {bound.queue for bound in channel.get_table("celery")}
        except Exception as error:  # raised in a thread, it would be lost
            failed.append(error)

    threads = [threading.Thread(target=bind, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert sorted(bound.queue for bound in channel.get_table("celery")) == sorted(names)


def test_a_table_that_was_begun_and_not_written_is_written_anew(channel):
    """As kombu makes one: the file first, then what is in it."""
    file = channel._exchange_file("celery")
    file.parent.mkdir(exist_ok=True)
    file.touch()
    assert channel.get_table("celery") == []
    channel._queue_bind("celery", "celery", "", "celery")
    assert [bound.queue for bound in channel.get_table("celery")] == ["celery"]
