"""What the web server does before anything of ours hears of it, with the options that the site gives it."""

import contextlib
import re
import socket
import subprocess
import time

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from chat.websocket.consumers import MAX_FRAME_BYTES
from config import roles
from tests.site import ROOT, free_port

UVICORN_ALONE = pytest.mark.parametrize("server", [roles.UVICORN], indirect=True)
"""docs/growing.md says what Daphne does instead."""


@pytest.fixture(params=roles.SERVERS)
def server(tmp_path, request):
    """Its port, its process, and the file of what it says."""
    port = free_port()
    *options, _ = roles.web("127.0.0.1", port, request.param)
    with (tmp_path / "said.txt").open("w") as said:
        process = subprocess.Popen([*options, "tests.config.heard:application"], cwd=ROOT, stdout=said, stderr=said)
    try:
        for _ in range(200):
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"http://127.0.0.1:{port}/").status_code == 200:
                    break
            time.sleep(0.1)
        yield port, process, tmp_path / "said.txt"
    finally:
        process.kill()
        process.wait()


def opened(port, path="/"):
    return connect(f"ws://127.0.0.1:{port}{path}", max_size=None, close_timeout=1)


def code_of_end(talk):
    with pytest.raises(ConnectionClosed) as closed:
        talk.recv(timeout=10)
    return closed.value.rcvd.code


def flood(talk):
    for _ in range(1600):
        talk.send("x" * MAX_FRAME_BYTES)


def test_a_frame_is_taken_or_the_socket_closed_with_the_reason(server):
    port, _, _ = server
    with opened(port) as talk:
        talk.send("x" * MAX_FRAME_BYTES)
        assert talk.recv(timeout=10) == str(MAX_FRAME_BYTES)
        talk.send("x" * (MAX_FRAME_BYTES + 1))
        assert code_of_end(talk) == 1009
    with opened(port) as talk:
        talk.send(b"\xff\xfe", text=True)
        assert code_of_end(talk) == 1007


@UVICORN_ALONE
def test_who_reads_slowly_is_waited_for_and_fills_no_memory(server):
    port, process, said = server
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(
            b"GET /talks HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        counts = [0, -1]
        while counts[-1] != counts[-2] or counts[-1] < 10:
            time.sleep(0.5)
            counts.append(len(re.findall("sent", said.read_text())))
        assert counts[-1] < 2000  # 20 MB, most of it in the kernel's buffers; it would go on to 1 GB
        assert psutil.Process(process.pid).memory_info().rss < 150e6


@UVICORN_ALONE
def test_what_nobody_takes_is_not_read(server):
    """100 MB of frames to a socket whose handler is busy stay where they are: with the sender."""
    port, process, _ = server
    with opened(port, "/busy") as talk:
        talk.socket.settimeout(1)
        with pytest.raises((TimeoutError, ConnectionClosed)):
            flood(talk)
        assert psutil.Process(process.pid).memory_info().rss < 150e6


def test_a_head_without_end_is_refused(server):
    port, _, _ = server
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.settimeout(10)
        line.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
        answer = b""
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                line.sendall(b"x" * 10_000)
        with contextlib.suppress(ConnectionError):
            answer = line.recv(100)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4")


@UVICORN_ALONE
def test_it_ends_soon_whatever_is_under_way(server):
    port, process, _ = server
    with opened(port) as talk, socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        line.recv(100)
        process.terminate()
        assert code_of_end(talk) == 1012
        process.wait(timeout=5)


@pytest.mark.parametrize("server", [roles.DAPHNE], indirect=True)
def test_daphne_ends_soon_too_and_drops_its_sockets(server):
    port, process, _ = server
    with opened(port) as talk, socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        line.recv(100)
        process.terminate()
        with pytest.raises(ConnectionClosed):
            talk.recv(timeout=10)
        process.wait(timeout=10)
